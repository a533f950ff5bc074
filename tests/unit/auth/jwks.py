"""Key pairs of OAuth2 clients, and their public halves as JWK Sets."""

import base64
import json
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA256, SHA384

Private = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def encoded(content: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def number(value: int, *, length: int | None = None) -> str:
    """Return a number as a JWK has it."""
    return encoded(value.to_bytes(length or (value.bit_length() + 7) // 8, "big"))


@dataclass(frozen=True)
class Pair:
    """A private key and its algorithm."""

    private: Private
    algorithm: str

    @property
    def jwk(self) -> dict[str, Any]:
        """Return the public half."""
        if isinstance(self.private, rsa.RSAPrivateKey):
            numbers = self.private.public_key().public_numbers()
            return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
        point = self.private.public_key().public_numbers()
        length = (self.private.curve.key_size + 7) // 8
        return {
            "kty": "EC",
            "crv": f"P-{self.private.curve.key_size}",
            "x": number(point.x, length=length),
            "y": number(point.y, length=length),
        }

    def jwks(self, **members: object) -> dict[str, Any]:
        """Return the public half as a JWK Set of one key, with members added."""
        return {"keys": [self.jwk | members]}

    def sign(self, content: bytes) -> bytes:
        """Sign as RFC 7518 says."""
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(content, padding.PKCS1v15(), SHA256())
        digest = SHA256() if self.algorithm == "ES256" else SHA384()
        length = (self.private.curve.key_size + 7) // 8
        r, s = utils.decode_dss_signature(self.private.sign(content, ec.ECDSA(digest)))
        return r.to_bytes(length, "big") + s.to_bytes(length, "big")

    def jws(self, claims: object, **header: object) -> str:
        """Return the claims as a compact JWS; members of the header can be replaced."""
        head = {"alg": self.algorithm, "typ": "JWT"} | header
        parts = [encoded(json.dumps(part).encode()) for part in (head, claims)]
        signed = ".".join(parts)
        return f"{signed}.{encoded(self.sign(signed.encode()))}"


def make_pair(algorithm: str = "ES256", *, bits: int = 2048) -> Pair:
    """Make a key pair for one algorithm."""
    if algorithm == "RS256":
        return Pair(rsa.generate_private_key(65_537, bits), algorithm)
    curve = ec.SECP256R1() if algorithm == "ES256" else ec.SECP384R1()
    return Pair(ec.generate_private_key(curve), algorithm)
