"""The credential is found in exactly one place, or the request is refused."""

import pytest

from auth.errors import CredentialInvalid, CredentialMissing
from gateway.credentials import extract_credential
from gateway.errors import CredentialAmbiguous, CredentialInUrl

KEY = b"tg_live_0123456789abcdef_secret"
TOKEN = b"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJjbGkifQ.c2lnbmF0dXJl"


def test_bearer_credential_is_found() -> None:
    """The Authorization header is the usual place."""
    assert extract_credential([(b"authorization", b"Bearer " + KEY)], b"") == KEY.decode()


@pytest.mark.parametrize("scheme", [b"bearer ", b"BEARER ", b"Bearer   "])
def test_scheme_is_read_in_any_case_and_with_any_spaces(scheme: bytes) -> None:
    """RFC 9110 section 11.1 makes the scheme case-insensitive and allows several spaces."""
    assert extract_credential([(b"authorization", scheme + KEY)], b"") == KEY.decode()


def test_api_key_header_is_found_among_others() -> None:
    """X-API-Key works too, wherever it stands."""
    headers = [(b"host", b"example"), (b"x-api-key", KEY), (b"accept", b"*/*")]
    assert extract_credential(headers, b"") == KEY.decode()


@pytest.mark.parametrize("headers", [[], [(b"host", b"example")], [(b"cookie", KEY)]])
def test_no_credential_is_missing(headers: list[tuple[bytes, bytes]]) -> None:
    """Only the two headers count."""
    with pytest.raises(CredentialMissing):
        extract_credential(headers, b"")


@pytest.mark.parametrize("value", [b"", b"Basic dXNlcjpwYXNz", KEY, b"Bearer\t" + KEY])
def test_other_schemes_are_invalid(value: bytes) -> None:
    """A credential without the scheme Bearer is not guessed at."""
    with pytest.raises(CredentialInvalid):
        extract_credential([(b"authorization", value)], b"")


def test_token_is_taken_as_a_bearer_only() -> None:
    """RFC 6750 section 2 knows no header X-API-Key."""
    assert extract_credential([(b"authorization", b"Bearer " + TOKEN)], b"") == TOKEN.decode()
    with pytest.raises(CredentialInvalid):
        extract_credential([(b"x-api-key", TOKEN)], b"")


@pytest.mark.parametrize("first", [b"authorization", b"x-api-key"])
@pytest.mark.parametrize("second", [b"authorization", b"x-api-key"])
def test_two_credentials_are_ambiguous(first: bytes, second: bytes) -> None:
    """Even two equal ones: another program on the way may read the other."""
    with pytest.raises(CredentialAmbiguous):
        extract_credential([(first, b"Bearer " + KEY), (second, b"Bearer " + KEY)], b"")


@pytest.mark.parametrize(
    "query",
    [
        b"access_token=abc",
        b"a=1&API_KEY=abc",
        b"x%2dapi%2Dkey=abc",
        b"anything=" + KEY,
        b"anything=tg%5flive%5F0123",
        b"tg_test_0123",
        b"token=" + TOKEN,
        b"token=" + TOKEN.replace(b".", b"%2E"),
    ],
)
def test_credential_in_the_query_is_refused(query: bytes) -> None:
    """By name or by look, encoded or not, and although the header is in order."""
    with pytest.raises(CredentialInUrl):
        extract_credential([(b"authorization", b"Bearer " + KEY)], query)


def test_ordinary_query_is_let_through() -> None:
    """Parameters of operations are no credentials."""
    query = b"from=2026-11-01&group_by=model,key&after=0123456789abcdef"
    assert extract_credential([(b"x-api-key", KEY)], query) == KEY.decode()


def test_bytes_beyond_ascii_do_not_raise() -> None:
    """Garbage is passed on for the parser of keys to refuse."""
    assert extract_credential([(b"x-api-key", b"\xff\xfe")], b"") == "\xff\xfe"
