"""Digest secrets under the version of the pepper that each was stored with.

Two versions live together while a pepper is being changed: what is new is digested under the one in
use, what is older under its own until its next use.
"""

from typing import Final, NamedTuple

from auth.api_keys import digest
from auth.secret_files import VersionedSecret


class Digest(NamedTuple):
    """Pair a digest with the version of the pepper that it was made under."""

    digest: bytes
    pepper_version: int

    def __repr__(self) -> str:
        """Leave the digest out."""
        return f"Digest(pepper_version={self.pepper_version})"


class Renewal(NamedTuple):
    """Say by which digest one of a credential is to be replaced: of the same secret."""

    credential_id: str
    old: bytes
    new: Digest


class Digester:
    """Digest with any version of the pepper that is here."""

    def __init__(self, pepper: VersionedSecret) -> None:
        self._versions: Final = pepper.versions
        self.current: Final = pepper.current

    def digest(self, text: str) -> Digest:
        """Return what is stored of a new secret."""
        return Digest(digest(self._versions[self.current], text), self.current)

    def under(self, version: int, text: str) -> bytes:
        """Return the digest under a version; under one that is gone, one that fits nothing.

        Threat: a version that is not here must not make a secret's check cheaper than others.
        """
        return digest(self._versions.get(version, _GONE), text)


_GONE: Final = b"no pepper of this version is here"
