"""The public keys of OAuth2 clients: read them from a JWK Set, refuse weak ones, check signatures.

Pure. RFC 7517 (JWK), RFC 7518 (algorithms); a key has exactly one algorithm, told by the key itself
and never by what it signed. `auth/assertions.py` says what is signed.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, HashAlgorithm

from auth.errors import InvalidChange

MAX_KEYS: Final = 10
MAX_KEY_NAME_CHARACTERS: Final = 128
MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 4096
"""A longer key makes every check slow: 8,192 bits cost a millisecond."""
MIN_RSA_EXPONENT: Final = 65_537
MAX_RSA_EXPONENT: Final = 2**32

_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_FIELD: Final = "jwks"
_is_base64url: Final = re.compile(r"[A-Za-z0-9_-]+").fullmatch
_is_key_name: Final = re.compile(r"[\x21-\x7e]+").fullmatch

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


@dataclass(frozen=True, slots=True)
class ClientKey:
    """Hold one public key of a client, as it is stored."""

    name: str
    """The JWK's `kid`, or the thumbprint where it has none."""
    algorithm: str
    members: tuple[tuple[str, str], ...]
    """The members that RFC 7638 requires, in its order: the key and nothing else."""

    @property
    def jwk(self) -> dict[str, str]:
        """Return the key as a JWK."""
        own = {"kid": self.name, "alg": self.algorithm, "use": "sig"}
        return dict(self.members) | own

    def verify(self, signature: bytes, signed: bytes) -> bool:
        """Tell whether the holder of the private key signed these bytes with its algorithm."""
        return _ALGORITHMS[self.algorithm].verify(self, signature, signed)


@dataclass(frozen=True, slots=True)
class _Algorithm:
    """Say how one algorithm finds its key in a JWK and checks a signature."""

    key_type: str
    curve: str
    verify: Callable[[ClientKey, bytes, bytes], bool]


def read_keys(document: Mapping[str, object]) -> tuple[ClientKey, ...]:
    """Read the keys of a JWK Set; a `jku` or `x5u` in it is never followed.

    Raises:
        InvalidChange: no key, too many, two of one name, a private, symmetric or weak one, or one
            for an algorithm that is not taken. Nothing of the document is quoted.
    """
    listed = document.get("keys")
    if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_KEYS:
        raise InvalidChange(f"must hold 1 to {MAX_KEYS} keys", _FIELD)
    keys = tuple(_read_key(item) for item in listed)
    if len({key.name for key in keys}) != len(keys):
        raise InvalidChange("holds two keys of one kid", _FIELD)
    return keys


def stored_key(jwk: Mapping[str, str]) -> ClientKey:
    """Read a key back that `ClientKey.jwk` wrote."""
    members = tuple((name, jwk[name]) for name in _REQUIRED[jwk["kty"]])
    return ClientKey(jwk["kid"], jwk["alg"], members)


def _read_key(jwk: object) -> ClientKey:
    """Read one JWK.

    Threat: a private key that is sent here was on the wire and maybe in a log; taking it in silence
    would leave its owner believing that it is still a secret.
    """
    if not isinstance(jwk, dict):
        raise InvalidChange("a key must be an object", _FIELD)
    if _PRIVATE_MEMBERS & jwk.keys():
        raise InvalidChange("holds a private key: make a new pair, send its public half", _FIELD)
    if jwk.get("use", "sig") != "sig" or "verify" not in _operations(jwk):
        raise InvalidChange("holds a key that is not for signatures", _FIELD)
    algorithm = _algorithm_of(jwk)
    names = _REQUIRED[_ALGORITHMS[algorithm].key_type]
    members = tuple((name, _text(jwk, name)) for name in names)
    key = ClientKey(_name_of(jwk, members), algorithm, members)
    _load(key)
    return key


def _operations(jwk: Mapping[str, object]) -> Sequence[object]:
    operations = jwk.get("key_ops", ["verify"])
    return operations if isinstance(operations, list) else []


def _algorithm_of(jwk: Mapping[str, object]) -> str:
    """Find the one algorithm of a key by its type and curve; its `alg` must agree."""
    for name, algorithm in _ALGORITHMS.items():
        fits = (jwk.get("kty"), jwk.get("crv", "")) == (algorithm.key_type, algorithm.curve)
        if fits and jwk.get("alg", name) == name:
            return name
    raise InvalidChange(f"must hold keys for {', '.join(ALGORITHMS)}", _FIELD)


def _text(jwk: Mapping[str, object], name: str) -> str:
    value = jwk.get(name)
    if not isinstance(value, str) or not _is_base64url(value):
        raise InvalidChange("holds a key that cannot be read", _FIELD)
    return value


def _name_of(jwk: Mapping[str, object], members: tuple[tuple[str, str], ...]) -> str:
    """Return the `kid`, or the thumbprint of RFC 7638 where there is none."""
    if "kid" not in jwk:
        canonical = json.dumps(dict(sorted(members)), separators=(",", ":")).encode()
        thumbprint = hashlib.sha256(canonical).digest()
        return base64.urlsafe_b64encode(thumbprint).rstrip(b"=").decode()
    name = jwk["kid"]
    is_short = isinstance(name, str) and len(name) <= MAX_KEY_NAME_CHARACTERS
    if not isinstance(name, str) or not is_short or not _is_key_name(name):
        raise InvalidChange("a kid must be 1 to 128 printable ASCII characters", _FIELD)
    return name


def _load(key: ClientKey) -> PublicKey:
    """Build the key.

    Threat: a short RSA key, or a small exponent, lets a stranger sign for the client.

    Raises:
        InvalidChange: not a point of its curve, or an RSA key that is too short or too long.
    """
    members = dict(key.members)
    try:
        return _load_rsa(members) if members["kty"] == "RSA" else _load_ec(members)
    except (ValueError, binascii.Error):
        raise InvalidChange("holds a key that cannot be read", _FIELD) from None


def _load_rsa(members: Mapping[str, str]) -> rsa.RSAPublicKey:
    modulus, exponent = _integer(members["n"]), _integer(members["e"])
    if not MIN_RSA_BITS <= modulus.bit_length() <= MAX_RSA_BITS:
        raise InvalidChange(f"an RSA key must have {MIN_RSA_BITS} to {MAX_RSA_BITS} bits", _FIELD)
    if not MIN_RSA_EXPONENT <= exponent < MAX_RSA_EXPONENT:
        raise InvalidChange(f"an RSA exponent must be at least {MIN_RSA_EXPONENT}", _FIELD)
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


def _load_ec(members: Mapping[str, str]) -> ec.EllipticCurvePublicKey:
    curve = _CURVES[members["crv"]]
    x, y = _integer(members["x"]), _integer(members["y"])
    return ec.EllipticCurvePublicNumbers(x, y, curve).public_key()


def _integer(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")


def _verify_rsa(key: ClientKey, signature: bytes, signed: bytes) -> bool:
    public = _load(key)
    assert isinstance(public, rsa.RSAPublicKey)  # noqa: S101 - its algorithm says so
    try:
        public.verify(signature, signed, padding.PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True


def _verify_ec(curve: ec.EllipticCurve, digest: HashAlgorithm) -> Callable[..., bool]:
    """Make the check of ECDSA on one curve: the two numbers side by side (RFC 7518 section 3.4)."""
    number_bytes = (curve.key_size + 7) // 8

    def verify(key: ClientKey, signature: bytes, signed: bytes) -> bool:
        public = _load(key)
        assert isinstance(public, ec.EllipticCurvePublicKey)  # noqa: S101 - its algorithm says so
        if len(signature) != 2 * number_bytes:
            return False
        r = int.from_bytes(signature[:number_bytes], "big")
        s = int.from_bytes(signature[number_bytes:], "big")
        try:
            public.verify(utils.encode_dss_signature(r, s), signed, ec.ECDSA(digest))
        except InvalidSignature:
            return False
        return True

    return verify


_CURVES: Final = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}
_REQUIRED: Final = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n")}
_ALGORITHMS: Final = {
    "ES256": _Algorithm("EC", "P-256", _verify_ec(_CURVES["P-256"], SHA256())),
    "ES384": _Algorithm("EC", "P-384", _verify_ec(_CURVES["P-384"], SHA384())),
    "RS256": _Algorithm("RSA", "", _verify_rsa),
}
ALGORITHMS: Final = tuple(_ALGORITHMS)
"""What a client may sign its assertions with; Ed25519 is none, as python-jose has none of it."""
