"""The text of an access token: three canonical segments around the header and the claims we write.

    base64url(header) . base64url(claims) . base64url(signature)        RFC 7515 section 7.1

Only our own server signs what it accepts, so header and claims are not parsed as JSON: each is
matched, whole, against the one form in which it is written. What that form lacks cannot be sent:
another algorithm or type, `crit`, `jwk`, a member twice, an escape, a number that is not a plain
integer, an object inside. Pure: no I/O, no state.

Threat: two parsers that read one text differently let a forger show one token to the check and
another to its user; a general parser can be brought to recurse, or to build huge numbers.
"""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Final, NamedTuple

from auth.errors import CredentialInvalid

MAX_CHARACTERS: Final = 4096
"""A longer token is refused before a single character is read."""

ALGORITHM: Final = "ES256"
TYPE: Final = "at+jwt"
"""Tells an access token from every other JWT (RFC 9068 section 2.1)."""

PATTERN: Final = r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
"""What a search for secrets looks for: the text of any JWT. It begins where nothing else of its
characters stands before it, so that a search takes time in proportion to the text.
"""

_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""How many points the curve P-256 has (SEC 2 section 2.4.2)."""

_SCALAR_BYTES: Final = 32
_segments: Final = re.compile(
    r"([A-Za-z0-9_-]{1,256})\.([A-Za-z0-9_-]{1,3700})\.([A-Za-z0-9_-]{86})"
).fullmatch
_header: Final = re.compile(
    rb'\{"alg":"ES256","kid":"([A-Za-z0-9_-]{43})","typ":"at\+jwt"\}'
).fullmatch
_claims: Final = re.compile(
    rb'\{"aud":"(?P<audience>[ !#-\[\]-~]{1,512})"'
    rb',"client_id":"(?P<client_id>[0-9A-Za-z_-]{1,64})"'
    rb',"exp":(?P<expires_at>[1-9][0-9]{0,10})'
    rb',"iat":(?P<issued_at>[1-9][0-9]{0,10})'
    rb',"iss":"(?P<issuer>[ !#-\[\]-~]{1,512})"'
    rb',"jti":"(?P<token_id>[0-9A-Za-z]{22})"'
    rb',"scope":"(?P<scope>[a-z:]+(?: [a-z:]+)*)"'
    rb',"sub":"(?P<subject>[0-9A-Za-z_-]{1,64})"'
    rb',"tenant_id":"(?P<tenant_id>[0-9A-Za-z_-]{1,64})"\}'
).fullmatch


class UnverifiedToken(NamedTuple):
    """Name the parts of a well-formed token; nothing says yet who signed it."""

    kid: str
    claims: bytes


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says, in the JSON types of RFC 9068 section 2.2; times are epoch seconds."""

    issuer: str
    audience: str
    subject: str
    client_id: str
    tenant_id: str
    scope: str
    token_id: str
    issued_at: int
    expires_at: int


def parse_token(text: str) -> UnverifiedToken:
    """Take a token apart, whose signature nobody has checked yet.

    Raises:
        CredentialInvalid: it is not, character for character, of the form that we write.
    """
    if len(text) > MAX_CHARACTERS:
        raise CredentialInvalid("token: too long")
    segments = _segments(text)
    if segments is None:
        raise CredentialInvalid("token: not three segments")
    header, claims, signature = map(decode_segment, segments.groups())
    known = _header(header)
    if known is None:
        raise CredentialInvalid("token: header")
    _check_signature(signature)
    return UnverifiedToken(known[1].decode(), claims)


def parse_claims(document: bytes) -> Claims:
    """Read the claims of a token whose signature is good.

    Raises:
        CredentialInvalid: a claim is missing, of another type, twice or unknown.
    """
    matched = _claims(document)
    if matched is None:
        raise CredentialInvalid("token: claims")
    found = {name: value.decode() for name, value in matched.groupdict().items()}
    issued_at, expires_at = int(found.pop("issued_at")), int(found.pop("expires_at"))
    return Claims(issued_at=issued_at, expires_at=expires_at, **found)


def write_claims(claims: Claims) -> bytes:
    """Write claims in the one form that `parse_claims` reads.

    Raises:
        ValueError: a value does not fit that form.
    """
    members: dict[str, str | int] = {
        "aud": claims.audience,
        "client_id": claims.client_id,
        "exp": claims.expires_at,
        "iat": claims.issued_at,
        "iss": claims.issuer,
        "jti": claims.token_id,
        "scope": claims.scope,
        "sub": claims.subject,
        "tenant_id": claims.tenant_id,
    }
    document = json.dumps(members, separators=(",", ":")).encode()
    if _claims(document) is None:
        raise ValueError("the claims do not fit the form of a token")
    return document


def encode_segment(content: bytes) -> str:
    """Write base64url without padding (RFC 7515 section 2)."""
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def decode_segment(segment: str) -> bytes:
    """Read base64url without padding, in the one way of writing it.

    Threat: a last character with spare bits set gives one token many texts, and a decoder that
    passes over what it does not know gives it endlessly many.

    Raises:
        CredentialInvalid: it is not what `encode_segment` writes.
    """
    try:
        content = urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError:
        raise CredentialInvalid("token: base64url") from None
    if encode_segment(content) != segment:
        raise CredentialInvalid("token: base64url")
    return content


def lower_signature(signature: bytes) -> bytes:
    """Return the one of the two equal signatures (r, s) and (r, n - s) that `parse_token` takes."""
    r, s = signature[:_SCALAR_BYTES], int.from_bytes(signature[_SCALAR_BYTES:])
    return r + min(s, _ORDER - s).to_bytes(_SCALAR_BYTES)


def _check_signature(signature: bytes) -> None:
    """Pass r and s in their ranges (RFC 7518 section 3.4), s in the lower half.

    Threat: whoever has seen a token could write a second text of it, which is in no cache.
    """
    r, s = (int.from_bytes(half) for half in (signature[:_SCALAR_BYTES], signature[_SCALAR_BYTES:]))
    if not (0 < r < _ORDER and 0 < s <= _ORDER // 2):
        raise CredentialInvalid("token: signature")
