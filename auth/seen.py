"""Remember what was found out about credentials that were seen lately."""

import secrets
from hashlib import blake2s
from typing import Final, Generic, TypeVar

Found = TypeVar("Found")

_KEY_BYTES: Final = 32


class Seen(Generic[Found]):
    """Find what is known of a credential by its digest: those used lately, at most twice `most`.

    Two generations: what is used moves to the younger, and when that is full, the older goes.

    Threat: a cache that kept the texts would show them in a dump; the digests are under a key of
    this process. One that grew with each text would let a client take our memory; one that kept
    refusals would let anybody.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._key = secrets.token_bytes(_KEY_BYTES)
        self._younger: dict[bytes, Found] = {}
        self._older: dict[bytes, Found] = {}

    def __len__(self) -> int:
        """Count what is remembered."""
        return len(self._younger) + len(self._older)

    def digest(self, text: str) -> bytes:
        """Return what stands for a text here.

        BLAKE2s, since it is short work in the interpreter's own memory: OpenSSL's HMAC lets other
        threads run meanwhile, and waits for them afterwards.
        """
        return blake2s(text.encode("utf-8", "surrogatepass"), key=self._key).digest()

    def find(self, digest: bytes) -> Found | None:
        """Return what was added for a digest, unless it was long ago."""
        found = self._younger.get(digest)
        if found is None:
            found = self._older.pop(digest, None)
            if found is not None:
                self.add(digest, found)
        return found

    def add(self, digest: bytes, found: Found) -> None:
        """Remember it, in place of what was known before."""
        if len(self._younger) >= self._most:
            self._older, self._younger = self._younger, {}
        self._younger[digest] = found
