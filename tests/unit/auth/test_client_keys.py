"""The public keys of clients: which are taken, which are refused, and what they verify."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from auth.client_keys import ALGORITHMS, ClientKey, read_keys, stored_key
from auth.errors import InvalidChange
from tests.unit.auth.jwks import Pair, make_pair, number

PAIRS = {name: make_pair(name) for name in ALGORITHMS}
EC = PAIRS["ES256"].jwk
RSA = PAIRS["RS256"].jwk


def only(document: dict[str, Any]) -> ClientKey:
    """Read a JWK Set of one key."""
    [key] = read_keys(document)
    return key


@pytest.mark.parametrize("name", ALGORITHMS)
def test_signature_of_the_private_half_is_accepted(name: str) -> None:
    """And none over other bytes."""
    key = only(PAIRS[name].jwks())
    signature = PAIRS[name].sign(b"signed")
    assert key.algorithm == name
    assert key.verify(signature, b"signed")
    assert not key.verify(signature, b"other")
    assert not key.verify(signature[:-1], b"signed")
    assert not key.verify(b"", b"signed")


@pytest.mark.parametrize("name", ALGORITHMS)
def test_key_is_the_same_when_it_is_read_back(name: str) -> None:
    """What is stored is the key, its name and its algorithm."""
    key = only(PAIRS[name].jwks(kid="mine", use="sig", key_ops=["verify"], ext=True))
    assert stored_key(key.jwk) == key
    assert key.jwk["kid"] == "mine"


def test_key_without_a_name_is_named_by_its_thumbprint() -> None:
    """The example of RFC 7638, section 3.1."""
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECP"
        "ebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY"
        "368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0f"
        "M4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    key = only({"keys": [{"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256"}]})
    assert key.name == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def weak_rsa(bits: int) -> dict[str, Any]:
    """Return a public key that is too short, or one of a small exponent."""
    return Pair(rsa.generate_private_key(65_537, bits), "RS256").jwk


REFUSED: dict[str, dict[str, Any]] = {
    "no member": {},
    "not a list": {"keys": EC},
    "no key": {"keys": []},
    "too many keys": {"keys": [EC | {"kid": str(n)} for n in range(11)]},
    "two of one name": {"keys": [EC | {"kid": "a"}, RSA | {"kid": "a"}]},
    "no object": {"keys": ["key"]},
    "a private key": {"keys": [EC | {"d": "AAAA"}]},
    "a symmetric key": {"keys": [{"kty": "oct", "k": "AAAA", "alg": "HS256"}]},
    "an unknown type": {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}]},
    "an unknown curve": {"keys": [EC | {"crv": "P-521"}]},
    "a weak curve": {"keys": [EC | {"crv": "secp256k1"}]},
    "no algorithm": {"keys": [EC | {"alg": "none"}]},
    "another algorithm": {"keys": [EC | {"alg": "ES384"}]},
    "a symmetric algorithm": {"keys": [RSA | {"alg": "HS256"}]},
    "for encryption": {"keys": [EC | {"use": "enc"}]},
    "for signing alone": {"keys": [EC | {"key_ops": ["sign"]}]},
    "operations that are none": {"keys": [EC | {"key_ops": "verify"}]},
    "off the curve": {"keys": [EC | {"x": number(1), "y": number(1)}]},
    "beyond the field": {"keys": [EC | {"x": number(2**300)}]},
    "padded": {"keys": [EC | {"x": EC["x"] + "="}]},
    "a number that is none": {"keys": [EC | {"x": 5}]},
    "a missing number": {"keys": [{"kty": "EC", "crv": "P-256", "x": EC["x"]}]},
    "a short RSA key": {"keys": [weak_rsa(1024)]},
    "a long RSA key": {"keys": [RSA | {"n": number(2**8192 - 1)}]},
    "an even RSA exponent": {"keys": [RSA | {"e": number(65_538)}]},
    "a small RSA exponent": {"keys": [RSA | {"e": number(3)}]},
    "an RSA exponent without end": {"keys": [RSA | {"e": number(2**64 + 1)}]},
    "an empty name": {"keys": [EC | {"kid": ""}]},
    "a long name": {"keys": [EC | {"kid": "a" * 129}]},
    "a name with a line break": {"keys": [EC | {"kid": "a\nb"}]},
    "a name that is none": {"keys": [EC | {"kid": 7}]},
    "half a character": {"keys": [EC | {"kid": "\ud800"}]},
}


@pytest.mark.parametrize("case", REFUSED)
def test_key_set_is_refused(case: str) -> None:
    """Weak, private, unreadable: told as a mistake of one member, with nothing quoted."""
    with pytest.raises(InvalidChange) as caught:
        read_keys(REFUSED[case])
    assert caught.value.field == "jwks"


def test_key_verifies_by_its_own_algorithm_alone() -> None:
    """An RSA signature is nothing to a key on a curve, however long it is."""
    key = only(PAIRS["ES256"].jwks())
    assert not key.verify(PAIRS["RS256"].sign(b"signed"), b"signed")
    assert not key.verify(bytes(64), b"signed")
