"""Signing keys of tokens and receipts: made, named, in one of four states by the time alone.

    published  in the key set, signs nothing yet: whoever keeps a copy of the set gets to know it
    signing    signs every new token
    retired    signs no more, verifies until the last token that it signed has expired
    gone       neither verifies nor is published; a revoked key is gone at once

A receipt is shown years later, so a key of receipts stays retired and published for good. A revoked
one is published too, with the moment: what it signed before can still be told from forgeries.

ES256 on P-256 (RFC 7518 section 3.4); a `kid` is the key's thumbprint (RFC 7638).
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from auth.token_text import ALGORITHM, encode_segment

MAX_TOKEN_SECONDS: Final = 600
"""The longest that any token lives, whatever the setting said when it was signed."""

CLOCK_SKEW_SECONDS: Final = 10
"""How far the clocks of two of our servers may be apart: a token that one has just signed must not
be from the future for another. Machines that ask a time server are within a tenth of a second.
"""

PUBLISH_AHEAD: Final = timedelta(minutes=10)
"""How long a key is in the key set before it signs: as long as a copy of the set may be kept."""

_VERIFIES_ON: Final = timedelta(seconds=MAX_TOKEN_SECONDS + CLOCK_SKEW_SECONDS)
_SCALAR_BYTES: Final = 32


class KeyState(StrEnum):
    """What a signing key is good for at a moment."""

    PUBLISHED = "published"
    SIGNING = "signing"
    RETIRED = "retired"
    GONE = "gone"


class Purpose(StrEnum):
    """What a signing key signs.

    Threat: with one key for both, a stolen key of tokens would also forge the bill's evidence, and
    its revocation would take the evidence away.
    """

    ACCESS = "access"
    RECEIPT = "receipt"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """Describe a key; its private part is sealed, and erased once it signs no more.

    Threat: a private part that is kept longer than it signs can only be stolen.
    """

    kid: str
    public_point: bytes
    """x and y, 32 bytes each."""
    sealed_private: bytes | None = field(repr=False)
    created_at: datetime
    signs_from: datetime
    signs_until: datetime | None
    """When its successor takes over; None while it has none."""
    revoked_at: datetime | None
    purpose: Purpose = Purpose.ACCESS

    def state(self, now: datetime) -> KeyState:
        """Say what the key is good for at a moment."""
        if self.revoked_at is not None:
            return KeyState.GONE
        if now < self.signs_from:
            return KeyState.PUBLISHED
        if self.signs_until is None or now < self.signs_until:
            return KeyState.SIGNING
        if self.purpose is Purpose.RECEIPT or now < self.signs_until + _VERIFIES_ON:
            return KeyState.RETIRED
        return KeyState.GONE

    def may_have_signed(self, issued_at: int) -> bool:
        """Tell whether the key signed tokens at an epoch second.

        Threat: whoever gets hold of a key that signs no more could date new tokens with it.
        """
        begins = self.signs_from.timestamp() - CLOCK_SKEW_SECONDS
        ends = self.signs_until
        return begins <= issued_at and (
            ends is None or issued_at <= ends.timestamp() + CLOCK_SKEW_SECONDS
        )

    def jwk(self) -> dict[str, str]:
        """Return the public part as a JSON Web Key (RFC 7517 section 4)."""
        usage = {"use": "sig", "alg": ALGORITHM, "kid": self.kid}
        return _public_members(self.public_point) | usage

    def historical_jwk(self) -> dict[str, object]:
        """Return the public part with when it signed.

        Source: OpenID Federation 1.0, "Federation Historical Keys Response".
        """
        jwk: dict[str, object] = {**self.jwk(), "iat": int(self.signs_from.timestamp())}
        if self.signs_until is not None:
            jwk["exp"] = int(self.signs_until.timestamp())
        if self.revoked_at is not None:
            jwk["revoked"] = {"revoked_at": int(self.revoked_at.timestamp())}
        return jwk


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A new key with its private part in the open, on its way to be sealed."""

    kid: str
    public_point: bytes
    private_scalar: bytes = field(repr=False)


class KeyRing:
    """Every signing key of one purpose in memory, for one event loop; the keyset keeps it fresh."""

    def __init__(self) -> None:
        self._keys: dict[str, SigningKey] = {}

    def apply(self, changed: Iterable[SigningKey]) -> None:
        """Take in keys that are new or have changed."""
        self._keys.update((key.kid, key) for key in changed)

    def find(self, kid: str) -> SigningKey | None:
        """Return the key of this id, whatever its state."""
        return self._keys.get(kid)

    def signing(self, now_seconds: float) -> SigningKey | None:
        """Return the key that signs new tokens; None before there is any.

        Where the clock is behind the one that made the first key, that one signs all the same.
        """
        now = _moment(now_seconds)
        able = [key for key in self._keys.values() if key.sealed_private is not None]
        for state in (KeyState.SIGNING, KeyState.PUBLISHED):
            found = [key for key in able if key.state(now) is state]
            if found:
                return min(found, key=lambda key: key.signs_from)
        return None

    def public_keys(self, now_seconds: float) -> list[dict[str, str]]:
        """Return the members of the published key set, oldest first (RFC 7517 section 5)."""
        now = _moment(now_seconds)
        keys = sorted(self._keys.values(), key=lambda key: (key.signs_from, key.kid))
        return [key.jwk() for key in keys if key.state(now) is not KeyState.GONE]

    def historical_keys(self) -> list[dict[str, object]]:
        """Return every key that ever signed or will, oldest first, the revoked ones too."""
        keys = sorted(self._keys.values(), key=lambda key: (key.signs_from, key.kid))
        return [key.historical_jwk() for key in keys]

    def verifies(self, kid: str, now_seconds: float) -> bool:
        """Tell whether tokens that the key has signed are good at a moment."""
        key = self._keys.get(kid)
        return key is not None and key.state(_moment(now_seconds)) is not KeyState.GONE


def generate_key_pair() -> KeyPair:
    """Make a key from the system's randomness, with an id that no command takes for an option."""
    while True:
        private = ec.generate_private_key(ec.SECP256R1()).private_numbers()
        public = private.public_numbers
        point = public.x.to_bytes(_SCALAR_BYTES) + public.y.to_bytes(_SCALAR_BYTES)
        kid = thumbprint(point)
        if not kid.startswith("-"):
            return KeyPair(kid, point, private.private_value.to_bytes(_SCALAR_BYTES))


def thumbprint(public_point: bytes) -> str:
    """Name a key by what it is (RFC 7638 section 3): 43 characters of base64url."""
    members = json.dumps(_public_members(public_point), sort_keys=True, separators=(",", ":"))
    return encode_segment(hashlib.sha256(members.encode()).digest())


def private_jwk(public_point: bytes, private_scalar: bytes) -> dict[str, str]:
    """Return a key with its private part as a JSON Web Key; it goes to the signer alone."""
    return _public_members(public_point) | {"d": encode_segment(private_scalar)}


def sealing_context(kid: str) -> str:
    """Say what a sealed private part is for, so that it opens for nothing else."""
    return f"signing-key:{kid}"


def _public_members(public_point: bytes) -> dict[str, str]:
    x, y = public_point[:_SCALAR_BYTES], public_point[_SCALAR_BYTES:]
    return {"kty": "EC", "crv": "P-256", "x": encode_segment(x), "y": encode_segment(y)}


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
