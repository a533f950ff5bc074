"""Say which version of a model a request asks for, and which one it gets while two are on trial."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Literal, NamedTuple, TypeAlias

Sticky: TypeAlias = Literal["tenant", "request"]
_DIGEST_BYTES: Final = 8
_DIGESTS: Final = float(2 ** (8 * _DIGEST_BYTES))


class Selection(NamedTuple):
    """A version by number, by label, or neither: then the model's own choice. Never both."""

    version: str | None = None
    label: str | None = None


UNNAMED = Selection()
"""The request names the model alone."""


@dataclass(frozen=True, slots=True)
class Route:
    """A trial of one version, the challenger, beside the one that is served, the champion."""

    name: str
    """The model's."""

    challenger: str
    """Its version."""

    weight: float
    """The share of unnamed requests that the challenger answers, 0 to 1; 0: it is a shadow."""

    sticky: Sticky
    """Who stays with the same version: all requests of a tenant, or each request on its own."""

    budget: float
    """The share of one thread's time, 0 to 1, in which a worker also asks the other version."""

    tolerance: float
    """How far apart floats may be, as a share of the larger, and agree."""

    trial: int
    """What tells this trial from every other; later ones are higher."""


def is_for_challenger(route: Route, *, tenant: str, request_id: str) -> bool:
    """Choose by a hash of the tenant or of the request.

    The choice needs no memory, is the same on every worker and machine, and a tenant that the
    challenger answers stays with it when the weight is raised. Another challenger gets other
    tenants, so that not always the same ones try what is new.
    """
    if route.weight <= 0.0:
        return False
    key = tenant if route.sticky == "tenant" else request_id
    text = f"{route.name}\0{route.challenger}\0{key}".encode()
    digest = blake2b(text, digest_size=_DIGEST_BYTES).digest()
    return int.from_bytes(digest) / _DIGESTS < route.weight
