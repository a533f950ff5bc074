"""A forger who has everything: valid claims, strangers' keys, and even our own signing key."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, HashAlgorithm

ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_SCALAR_BYTES: Final = 32

Sign = Callable[[bytes], bytes]
Members = Mapping[str, object]


class _Gone:
    """Stands for a member that is left out."""


GONE: Final = _Gone()


def b64(content: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """Read base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def document(members: object) -> bytes:
    """Write JSON as our own tokens have it."""
    return json.dumps(members, separators=(",", ":"), sort_keys=True).encode()


def raw_signature(r: int, s: int) -> bytes:
    """Write a signature as RFC 7518 section 3.4 says."""
    return r.to_bytes(_SCALAR_BYTES, "big") + s.to_bytes(_SCALAR_BYTES, "big")


def ecdsa(key: ec.EllipticCurvePrivateKey, digest: HashAlgorithm | None = None) -> Sign:
    """Sign with a key on any curve, s in the lower half where the curve is P-256."""
    length = (key.key_size + 7) // 8

    def sign(content: bytes) -> bytes:
        der = key.sign(content, ec.ECDSA(digest or SHA256()))
        r, s = utils.decode_dss_signature(der)
        s = min(s, ORDER - s) if length == _SCALAR_BYTES else s
        return r.to_bytes(length, "big") + s.to_bytes(length, "big")

    return sign


def hmac_with(secret: bytes, digest: str = "sha256") -> Sign:
    """Sign as HS256 does, with bytes that everybody knows."""
    return lambda content: hmac.digest(secret, content, digest)


@dataclass(frozen=True)
class Forge:
    """What forgeries are made of; `private` is the key that our server signs with."""

    private: ec.EllipticCurvePrivateKey
    kid: str
    claims: dict[str, Any]
    others: dict[str, str]
    """Ids of somebody else and of what is no client: stranger, strangers_client, key_id."""
    states: dict[str, tuple[str, ec.EllipticCurvePrivateKey]]
    """Other keys of ours by what became of them: published, gone, revoked."""
    stranger: ec.EllipticCurvePrivateKey
    rsa: rsa.RSAPrivateKey

    @property
    def now(self) -> int:
        """When the valid claims were issued, in epoch seconds."""
        issued_at: int = self.claims["iat"]
        return issued_at

    @property
    def valid(self) -> str:
        """A token that is good."""
        return self.token()

    def token(
        self, *, header: bytes | None = None, claims: bytes | None = None, sign: Sign | None = None
    ) -> str:
        """Write a token of any header and claims, signed by our own key unless told otherwise."""
        first = self.header() if header is None else header
        second = document(self.claims) if claims is None else claims
        signed = f"{b64(first)}.{b64(second)}"
        signature = (sign or ecdsa(self.private))(signed.encode())
        return f"{signed}.{b64(signature)}"

    def signed(self, text: str) -> str:
        """Sign any text with our own key."""
        return f"{text}.{b64(ecdsa(self.private)(text.encode()))}"

    def header(self, **changes: object) -> bytes:
        """Write our own header with members changed or gone."""
        return document(_changed({"alg": "ES256", "kid": self.kid, "typ": "at+jwt"}, changes))

    def with_header(self, *, sign: Sign | None = None, **changes: object) -> str:
        """Write a token whose header is changed."""
        return self.token(header=self.header(**changes), sign=sign)

    def with_claims(self, **changes: object) -> str:
        """Write a token whose claims are changed, signed by our own key."""
        return self.token(claims=document(_changed(self.claims, changes)))

    def with_text(self, claim: str, text: str) -> str:
        """Write a token in which the value of a claim is JSON of the forger's choice."""
        marked = document(_changed(self.claims, {claim: "@@"}))
        return self.token(claims=marked.replace(b'"@@"', text.encode()))

    def with_signature(self, change: Callable[[bytes], bytes]) -> str:
        """Write a token with its good signature changed."""
        signed, _, signature = self.valid.rpartition(".")
        return f"{signed}.{b64(change(unb64(signature)))}"

    def with_scalars(self, change: Callable[[int, int], tuple[int, int]]) -> str:
        """Write a token with the two numbers of its good signature changed."""
        half = _SCALAR_BYTES

        def altered(signature: bytes) -> bytes:
            numbers = (signature[:half], signature[half:])
            return raw_signature(*change(*(int.from_bytes(part, "big") for part in numbers)))

        return self.with_signature(altered)

    def public(self, form: str) -> bytes:
        """Write the public half of our key, as HMAC secrets have been mistaken for it."""
        key = self.private.public_key()
        spki = serialization.PublicFormat.SubjectPublicKeyInfo
        if form == "PEM":
            return key.public_bytes(serialization.Encoding.PEM, spki)
        if form == "DER":
            return key.public_bytes(serialization.Encoding.DER, spki)
        if form == "point":
            point = serialization.PublicFormat.UncompressedPoint
            return key.public_bytes(serialization.Encoding.X962, point)
        return document(self.jwk(self.private))

    def jwk(self, key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
        """Write the public half of a key as a JSON Web Key."""
        numbers = key.public_key().public_numbers()
        x, y = (b64(part.to_bytes(_SCALAR_BYTES, "big")) for part in (numbers.x, numbers.y))
        return {"crv": "P-256", "kty": "EC", "x": x, "y": y}

    def rs256(self, content: bytes) -> bytes:
        """Sign as RS256 does."""
        return self.rsa.sign(content, padding.PKCS1v15(), SHA256())

    def ps256(self, content: bytes) -> bytes:
        """Sign as PS256 does."""
        pss = padding.PSS(padding.MGF1(SHA256()), SHA256.digest_size)
        return self.rsa.sign(content, pss, SHA256())


def es384(content: bytes) -> bytes:
    """Sign as ES384 does, with a key that nobody knows."""
    return ecdsa(ec.generate_private_key(ec.SECP384R1()), SHA384())(content)


def eddsa(content: bytes) -> bytes:
    """Sign as Ed25519 does, with a key that nobody knows."""
    return ed25519.Ed25519PrivateKey.generate().sign(content)


def der(key: ec.EllipticCurvePrivateKey) -> Sign:
    """Sign with the signature in DER, as most libraries give it."""
    return lambda content: key.sign(content, ec.ECDSA(SHA256()))


def thumb(text: str) -> str:
    """Name a key that does not exist, in the shape of one that does."""
    return b64(hashlib.sha256(text.encode()).digest())


def no_signature(_content: bytes) -> bytes:
    """Sign nothing."""
    return b""


def _changed(members: Members, changes: Members) -> dict[str, object]:
    return {name: value for name, value in {**members, **changes}.items() if value is not GONE}
