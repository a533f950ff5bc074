"""Find the one credential of a request, without deciding whether it is good (RFC 6750 section 2).

Threat: a request that carries two credentials can be read as two callers by two programs on its
way, and a credential in a URL stays in access logs, histories and Referer headers. Both are refused
unread.
"""

import re
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from auth.errors import CredentialInvalid, CredentialMissing
from auth.token_gate import PREFIX
from auth.token_text import PATTERN
from gateway.errors import CredentialAmbiguous, CredentialInUrl

_AUTHORIZATION = b"authorization"
_API_KEY = b"x-api-key"
_BEARER = b"bearer"
_MARKS = (b"tg_live_", b"tg_test_", b"tg_sess_", b"tg_clnt_", b"tg_boot_")
_TOKEN_PREFIX = PREFIX.encode()
_find_token = re.compile(PATTERN.encode()).search
_PARAMETERS = frozenset({b"access_token", b"api_key", b"apikey", b"api-key", b"x-api-key"})


def extract_credential(headers: Iterable[tuple[bytes, bytes]], query_string: bytes) -> str:
    """Return the credential in ``Authorization: Bearer`` or ``X-API-Key``, not yet checked.

    Runs once for every prediction: one pass over the headers, and the query only if there is one.

    Args:
        headers: names in lower case, as ASGI delivers them.
        query_string: still percent-encoded.

    Raises:
        CredentialInUrl: the query string carries a credential, valid or not.
        CredentialAmbiguous: more than one header carries a credential.
        CredentialMissing: no header does.
        CredentialInvalid: the Authorization header is not of the scheme Bearer, or an access token
            stands in X-API-Key, where RFC 6750 knows none.
    """
    if query_string and has_credential(query_string):
        raise CredentialInUrl
    found: tuple[bytes, bytes] | None = None
    for header in headers:
        name = header[0]
        if name == _AUTHORIZATION or name == _API_KEY:  # noqa: PLR1714, SIM109 - half the cost
            if found is not None:
                raise CredentialAmbiguous
            found = header
    if found is None:
        raise CredentialMissing
    name, value = found
    credential = value if name == _API_KEY else _bearer_token(value)
    if name == _API_KEY and value.startswith(_TOKEN_PREFIX):
        raise CredentialInvalid("an access token in X-API-Key")
    return credential.decode("latin-1")


def has_credential(query_string: bytes) -> bool:
    """Tell whether a query string carries a credential, by its name or by its look."""
    decoded = unquote_to_bytes(query_string.replace(b"+", b" "))
    if any(mark in decoded for mark in _MARKS) or _find_token(decoded):
        return True
    names = (pair.partition(b"=")[0] for pair in query_string.split(b"&"))
    return any(unquote_to_bytes(name).strip().lower() in _PARAMETERS for name in names)


def _bearer_token(value: bytes) -> bytes:
    scheme, _, token = value.partition(b" ")
    if scheme.lower() != _BEARER:
        raise CredentialInvalid("not the scheme Bearer")
    return token.strip(b" ")
