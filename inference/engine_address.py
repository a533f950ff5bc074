"""Read where the engine of a model is, and whether models may be served by it."""

import ipaddress
from dataclasses import dataclass

from inference.errors import ModelRefused
from inference.manifest import RUNTIME, Manifest
from inference.settings import InferenceSettings
from inference.version_files import VersionPath


@dataclass(frozen=True, slots=True)
class Engine:
    """One model version of another server."""

    place: str
    """Host and port."""

    is_secure: bool
    """Whether it is reached over TLS."""

    name: str
    version: str
    key: str
    """The API key that it asks for; empty where it asks for none."""

    timeout_seconds: float
    retries: int


def engine_of(path: VersionPath, manifest: Manifest, settings: InferenceSettings) -> Engine:
    """Find the engine that a model version names; there it has the same name and number.

    Threat: whoever writes models could have the server connect to anything that it can reach, and
    send it the key of an engine. So the operator lists the engines.

    Raises:
        ModelRefused: the operator does not list it, or does not allow it without TLS.
    """
    found = RUNTIME.fullmatch(manifest.runtime)
    place = found["place"] if found else None
    if found is None or place not in settings.engines:
        raise ModelRefused(path.name, f"TOLLGATE_ENGINES does not list the engine {place}")
    is_secure = found["scheme"] == "grpcs"
    if not (is_secure or settings.allows_plaintext or _is_here(place)):
        raise ModelRefused(path.name, f"the engine {place} is not on this machine: use grpcs://")
    return Engine(
        place=place,
        is_secure=is_secure,
        name=found["name"] or path.name,
        version=found["version"] or path.version,
        key=settings.engines[place].get_secret_value(),
        timeout_seconds=manifest.engine.timeout_seconds,
        retries=manifest.engine.retries,
    )


def _is_here(place: str) -> bool:
    host = place.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
