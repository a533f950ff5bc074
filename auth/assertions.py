"""The assertions by which clients that sign prove who they are (RFC 7523, sections 2.2 and 3).

Pure. An assertion is good once, for five minutes at most: until its `exp`, and no longer than five
minutes from its `iat` where it has one, since stock libraries write an `exp` hours ahead.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import jiter

from auth.client_keys import ALGORITHMS, ClientKey
from auth.errors import CredentialInvalid
from auth.token_text import decode_segment

MAX_CHARACTERS: Final = 4096
MAX_AGE_SECONDS: Final = 300
CLOCK_SKEW_SECONDS: Final = 30
"""How far a client's clock may be ahead of ours."""
MAX_AUDIENCES: Final = 4
MAX_TOKEN_ID_CHARACTERS: Final = 256
MAX_EPOCH_SECONDS: Final = 10**11

_TYPES: Final = ("JWT", "jwt", "client-authentication+jwt")
_REFUSED_MEMBERS: Final = frozenset({"crit", "b64", "zip", "jwk", "jku", "x5u", "x5c"})
_segments: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)").fullmatch


@dataclass(frozen=True, slots=True)
class Assertion:
    """What an assertion says; nothing tells yet that the client said it."""

    client_id: str
    token_id: str
    ends_at_seconds: float
    """After which it is refused, in epoch seconds."""
    algorithm: str
    key_name: str | None
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    def key_among(self, keys: Sequence[ClientKey]) -> ClientKey | None:
        """Find the key that must have signed: the one of the `kid`, or the only one that could.

        Threat: the algorithm is the key's own. Were it the assertion's, a public key could be taken
        for the secret of another algorithm.
        """
        fitting = [key for key in keys if key.algorithm == self.algorithm]
        if self.key_name is not None:
            fitting = [key for key in fitting if key.name == self.key_name]
        return fitting[0] if len(fitting) == 1 else None


def parse_assertion(text: str, *, audiences: frozenset[str], now: float) -> Assertion:
    """Take an assertion apart and check all of it but the signature.

    Threat: `jku`, `x5u` and `jwk` let the sender choose the key; they are refused, never followed.

    Args:
        text: the compact form of a signed JWT.
        audiences: names of this server, one of which it must be for and no other.
        now: epoch seconds.

    Raises:
        CredentialInvalid: it is not one that could be accepted now.
    """
    segments = _segments(text) if len(text) <= MAX_CHARACTERS else None
    if segments is None:
        raise CredentialInvalid("assertion: not a signed JWT")
    header, claims = (_object(decode_segment(part)) for part in segments.groups()[:2])
    _check_header(header)
    client_id = _text(claims, "iss")
    if client_id != _text(claims, "sub"):
        raise CredentialInvalid("assertion: issuer and subject differ")
    _check_audience(claims.get("aud"), audiences)
    return Assertion(
        client_id=client_id,
        token_id=_text(claims, "jti"),
        ends_at_seconds=_end(claims, now),
        algorithm=_text(header, "alg"),
        key_name=_text(header, "kid") if "kid" in header else None,
        signed=text.rpartition(".")[0].encode(),
        signature=decode_segment(segments[3]),
    )


def _object(document: bytes) -> Mapping[str, object]:
    """Parse a JSON object in which no member stands twice, nested no deeper than jiter goes."""
    try:
        parsed = jiter.from_json(document, catch_duplicate_keys=True, allow_inf_nan=False)
    except ValueError:
        raise CredentialInvalid("assertion: JSON") from None
    if not isinstance(parsed, dict):
        raise CredentialInvalid("assertion: not an object")
    return parsed


def _check_header(header: Mapping[str, object]) -> None:
    if _REFUSED_MEMBERS & header.keys():
        raise CredentialInvalid("assertion: a member of the header is not taken")
    if header.get("typ", "JWT") not in _TYPES:
        raise CredentialInvalid("assertion: another type")
    if header.get("alg") not in ALGORITHMS:
        raise CredentialInvalid("assertion: another algorithm")


def _check_audience(audience: object, audiences: frozenset[str]) -> None:
    """Pass an assertion that is for this server alone.

    Threat: one that names another server too could be used here by that server.
    """
    named = [audience] if isinstance(audience, str) else audience
    if not isinstance(named, list) or not 1 <= len(named) <= MAX_AUDIENCES:
        raise CredentialInvalid("assertion: audience")
    if not all(isinstance(name, str) and name in audiences for name in named):
        raise CredentialInvalid("assertion: another audience")


def _end(claims: Mapping[str, object], now: float) -> float:
    """Return until when the assertion is good; it must be good now."""
    ends_at = _seconds(claims, "exp")
    if "iat" in claims:
        issued_at = _seconds(claims, "iat")
        if issued_at > now + CLOCK_SKEW_SECONDS:
            raise CredentialInvalid("assertion: from the future")
        ends_at = min(ends_at, issued_at + MAX_AGE_SECONDS)
    if "nbf" in claims and _seconds(claims, "nbf") > now + CLOCK_SKEW_SECONDS:
        raise CredentialInvalid("assertion: not yet")
    if not now < ends_at <= now + MAX_AGE_SECONDS + CLOCK_SKEW_SECONDS:
        raise CredentialInvalid("assertion: expired, or good for too long")
    return ends_at


def _seconds(claims: Mapping[str, object], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CredentialInvalid(f"assertion: {name} is no time")
    if not 0 < value < MAX_EPOCH_SECONDS:
        raise CredentialInvalid(f"assertion: {name} is no time")
    return float(value)


def _text(members: Mapping[str, object], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_TOKEN_ID_CHARACTERS:
        raise CredentialInvalid(f"assertion: {name} is no text")
    return value
