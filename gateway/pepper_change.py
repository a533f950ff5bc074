"""Change the pepper in steps that no server and no key notices.

A new version is first known to every server, then in use for what is new; secrets move to it as
they are used; the old version goes when nothing is left on it. Servers read the pepper when they
start, so between the steps each is restarted (SIGHUP does it without a failed request).

Threat: were a new version in use before every server knows it, a key made here would be refused
there.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncEngine

from auth.pepper_store import count_live_digests
from auth.secret_files import MOST_VERSION, VersionedSecret, generate, load_secret, write_versions
from gateway.errors import PepperKept
from gateway.settings import Settings

PepperUse = Literal["in use", "known", "gone"]


@dataclass(frozen=True, slots=True)
class PepperVersion:
    """Tell of one version what it is for, and how many live secrets were made with it."""

    version: int
    use: PepperUse
    secrets: int


def pepper_path(settings: Settings) -> Path:
    """Name the file of the pepper, where it is not in a setting."""
    return settings.data_dir / "key_pepper"


def read_pepper(settings: Settings) -> VersionedSecret:
    """Read the pepper and make none.

    Raises:
        SecretError: it is not there, can be guessed, or is malformed.
    """
    return load_secret(settings.key_pepper, pepper_path(settings), may_create=False)


async def pepper_status(engine: AsyncEngine, pepper: VersionedSecret) -> list[PepperVersion]:
    """Tell of every version that is here, or that a live secret needs."""
    counts = await count_live_digests(engine, now=datetime.now(UTC))
    return [
        PepperVersion(version, _use(pepper, version), counts.get(version, 0))
        for version in sorted(counts.keys() | pepper.versions.keys(), reverse=True)
    ]


def rotate_pepper(settings: Settings) -> tuple[int, PepperUse]:
    """Take the next step: make a version known, or put the one that is known in use.

    Returns the version and what it is from the next start on.

    Raises:
        PepperKept: the pepper is in a setting, or there are no more versions.
        SecretError: it is not there, can be guessed, or is malformed.
    """
    pepper = _own(settings)
    newest = max(pepper.versions)
    if newest != pepper.current:
        ordered = {newest: pepper.versions[newest]} | pepper.versions
        write_versions(pepper_path(settings), VersionedSecret(ordered))
        return newest, "in use"
    if newest == MOST_VERSION:
        raise PepperKept(f"there are no versions after {MOST_VERSION}")
    write_versions(
        pepper_path(settings), VersionedSecret(pepper.versions | {newest + 1: generate()})
    )
    return newest + 1, "known"


async def retire_pepper(settings: Settings, engine: AsyncEngine, version: int) -> None:
    """Drop a version that nothing needs any more.

    Raises:
        PepperKept: it is in use, is not here, or live secrets were made with it.
        SecretError: the pepper is not there, can be guessed, or is malformed.
    """
    pepper = _own(settings)
    found = {one.version: one for one in await pepper_status(engine, pepper)}.get(version)
    if found is None or found.use == "gone":
        raise PepperKept(f"there is no version {version}")
    if found.use == "in use":
        raise PepperKept(f"version {version} is in use")
    if found.secrets:
        raise PepperKept(f"{found.secrets} secrets would stop working without version {version}")
    rest = {number: value for number, value in pepper.versions.items() if number != version}
    write_versions(pepper_path(settings), VersionedSecret(rest))


def _own(settings: Settings) -> VersionedSecret:
    if settings.key_pepper is not None:
        raise PepperKept(
            "the pepper is in TOLLGATE_KEY_PEPPER, which this command does not write: "
            "docs/security.md has the lines to put there"
        )
    return read_pepper(settings)


def _use(pepper: VersionedSecret, version: int) -> PepperUse:
    if version not in pepper.versions:
        return "gone"
    return "in use" if version == pepper.current else "known"
