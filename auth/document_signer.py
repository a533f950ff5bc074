"""Sign documents that others check years later, with the key of receipts whose turn it is.

Compact JWS with ES256 (RFC 7515 section 7.1, RFC 7518 section 3.4). The private part is opened once
for each key. It is `cryptography` that signs: a document is of our own making, nothing of it is
read back here, and it costs a third of what python-jose takes.
"""

import json
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from auth.errors import SealBroken, SigningKeyMissing
from auth.sealing import Sealer
from auth.signing_keys import KeyRing, SigningKey, sealing_context
from auth.token_text import ALGORITHM, encode_segment

_SCALAR_BYTES: Final = 32
_ECDSA: Final = ec.ECDSA(SHA256())


class OpenKey:
    """One signing key with its private part open."""

    def __init__(self, kid: str, private: ec.EllipticCurvePrivateKey, *, media_type: str) -> None:
        self.kid = kid
        self._private = private
        header = {"alg": ALGORITHM, "kid": kid, "typ": media_type}
        self._header = encode_segment(json.dumps(header, separators=(",", ":")).encode()) + "."

    def __repr__(self) -> str:
        """Leave the private part out."""
        return f"OpenKey({self.kid!r})"

    def sign(self, payload: bytes) -> str:
        """Return the compact JWS around a payload.

        Cost: about 40 µs, on whatever thread it is called.
        """
        signed = self._header + encode_segment(payload)
        r, s = decode_dss_signature(self._private.sign(signed.encode(), _ECDSA))
        return f"{signed}.{encode_segment(r.to_bytes(_SCALAR_BYTES) + s.to_bytes(_SCALAR_BYTES))}"


class DocumentSigner:
    """Hand out the key that signs now. `now` gives epoch seconds."""

    def __init__(
        self, ring: KeyRing, *, media_type: str, sealer: Sealer, now: Callable[[], float]
    ) -> None:
        self._ring = ring
        self._media_type = media_type
        self._sealer = sealer
        self._now = now
        self._open: OpenKey | None = None
        self._good_until = 0.0

    def key(self) -> OpenKey:
        """Return the key whose turn it is, looked for once a second at most.

        Raises:
            SigningKeyMissing: there is no key to sign with, or its private part does not open.
        """
        now = self._now()
        if self._open is None or not self._good_until - 1 <= now < self._good_until:
            found = self._ring.signing(now)
            if found is None:
                raise SigningKeyMissing("there is no key to sign receipts with")
            if self._open is None or self._open.kid != found.kid:
                self._open = self._unsealed(found)
            self._good_until = now + 1
        return self._open

    def _unsealed(self, key: SigningKey) -> OpenKey:
        if key.sealed_private is None:
            raise SigningKeyMissing("the private part of the key is erased")
        try:
            scalar = self._sealer.open(key.sealed_private, sealing_context(key.kid))
        except SealBroken as error:
            raise SigningKeyMissing(f"the key does not open: {error}") from None
        private = ec.derive_private_key(int.from_bytes(scalar), ec.SECP256R1())
        return OpenKey(key.kid, private, media_type=self._media_type)
