"""The format of secrets that we issue: mint, parse offline, digest. Pure: no I/O, no state.

    tg_live_<key id: 16>_<secret: 32><checksum: 6>

    live, test      API keys; the use of test keys is not billed
    sess            sessions of admins
    clnt            secrets of OAuth2 clients, for the token endpoint only
    boot            the token that makes the first admin, and nothing else

All base62. The secret carries 190 random bits; the checksum is the CRC-32 of everything before
it, so that a typo or garbage is refused before anything is looked up. What is stored is an
HMAC-SHA256 of the whole text under the server's pepper; a slow password hash would guard no
better against guessing 190 bits and would cost 50,000 times more on every request.
"""

import hmac
import re
import secrets
import string
import zlib
from typing import Final, Literal, NamedTuple, cast

from auth.errors import CredentialInvalid

SecretKind = Literal["live", "test", "sess", "clnt", "boot"]

KEY_ID_CHARACTERS: Final = 16
SECRET_CHARACTERS: Final = 32
CHECKSUM_CHARACTERS: Final = 6

_BODY_CHARACTERS: Final = len("tg_live_") + KEY_ID_CHARACTERS + 1 + SECRET_CHARACTERS
KEY_CHARACTERS: Final = _BODY_CHARACTERS + CHECKSUM_CHARACTERS
"""The length of every key; anything else is refused before a single character is read."""

PATTERN: Final = (
    rf"\btg_(?:live|test|sess|clnt|boot)_[0-9A-Za-z]{{{KEY_ID_CHARACTERS}}}"
    rf"_[0-9A-Za-z]{{{SECRET_CHARACTERS + CHECKSUM_CHARACTERS}}}\b"
)
"""What a secret scanner looks for."""

_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_PAIRS: Final = tuple(high + low for high in _ALPHABET for low in _ALPHABET)
_PAIR_BASE: Final = len(_PAIRS)
_match: Final = re.compile(
    rf"tg_(live|test|sess|clnt|boot)_([0-9A-Za-z]{{{KEY_ID_CHARACTERS}}})"
    rf"_[0-9A-Za-z]{{{SECRET_CHARACTERS + CHECKSUM_CHARACTERS}}}"
).fullmatch


class ParsedKey(NamedTuple):
    """Name the parts of a well-formed key; nothing says yet that it was ever issued."""

    key_id: str
    kind: SecretKind
    text: str

    def __repr__(self) -> str:
        """Leave the secret out."""
        return f"ParsedKey(key_id={self.key_id!r}, kind={self.kind!r})"


def mint(*, kind: SecretKind, key_id: str | None = None) -> ParsedKey:
    """Make a new key; with `key_id`, a new secret for an existing one."""
    handle = key_id or random_base62(KEY_ID_CHARACTERS)
    body = f"tg_{kind}_{handle}_{random_base62(SECRET_CHARACTERS)}"
    return ParsedKey(handle, kind, body + _checksum(body))


def parse(text: str) -> ParsedKey:
    """Take a key apart offline.

    Threat: without the length bound, whatever a stranger sends would be scanned and hashed.

    Raises:
        CredentialInvalid: not a key of ours, or its checksum is wrong.
    """
    if len(text) != KEY_CHARACTERS:
        raise CredentialInvalid("not an API key")
    matched = _match(text)
    if matched is None:
        raise CredentialInvalid("not an API key")
    if _checksum(text[:_BODY_CHARACTERS]) != text[_BODY_CHARACTERS:]:
        raise CredentialInvalid("checksum")
    kind, key_id = matched.groups()
    return ParsedKey(key_id, cast("SecretKind", kind), text)


def digest(pepper: bytes, text: str) -> bytes:
    """Return what is stored of a key: HMAC-SHA256 of its text under the pepper.

    Threat: a plain hash would let whoever copies the database test guesses offline.
    """
    return hmac.digest(pepper, text.encode(), "sha256")


def random_base62(characters: int) -> str:
    """Return an even number of random base62 characters."""
    number = secrets.randbelow(_PAIR_BASE ** (characters // 2))
    pairs = []
    for _ in range(characters // 2):
        number, pair = divmod(number, _PAIR_BASE)
        pairs.append(_PAIRS[pair])
    return "".join(pairs)


def _checksum(body: str) -> str:
    """CRC-32 as six base62 characters, by three table look-ups."""
    rest, low = divmod(zlib.crc32(body.encode()), _PAIR_BASE)
    high, middle = divmod(rest, _PAIR_BASE)
    return _PAIRS[high] + _PAIRS[middle] + _PAIRS[low]
