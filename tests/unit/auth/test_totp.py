"""One-time codes, against the vectors of their specifications."""

import base64
from urllib.parse import parse_qs, urlsplit

import pytest

from auth.totp import base32_of, code_at, matching_step, new_totp_secret, provisioning_uri

SECRET = b"12345678901234567890"
NOW = 1_111_111_109.0


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "287082"),
        (1_111_111_109, "081804"),
        (1_111_111_111, "050471"),
        (1_234_567_890, "005924"),
        (2_000_000_000, "279037"),
        (20_000_000_000, "353130"),
    ],
)
def test_codes_are_those_of_the_specification(seconds: int, code: str) -> None:
    """The last six digits of RFC 6238 appendix B."""
    assert code_at(SECRET, seconds // 30) == code


COUNTED = (
    *("755224", "287082", "359152", "969429", "338314"),
    *("254676", "287922", "162583", "399871", "520489"),
)


@pytest.mark.parametrize(("counter", "code"), list(enumerate(COUNTED)))
def test_counters_are_those_of_the_specification(counter: int, code: str) -> None:
    """RFC 4226 appendix D."""
    assert code_at(SECRET, counter) == code


@pytest.mark.parametrize(("seconds", "is_taken"), [(-31, True), (0, True), (30, True), (61, False)])
def test_code_of_a_neighbouring_step_is_taken(seconds: int, *, is_taken: bool) -> None:
    """A clock may be half a minute off, either way."""
    step = int(NOW) // 30
    found = matching_step(SECRET, code_at(SECRET, step), now=NOW + seconds)
    assert found == (step if is_taken else None)


@pytest.mark.parametrize("code", ["", "0", "0818040", "81804", "٠٨١٨٠٤", "      ", "081804 "])
def test_anything_else_is_no_code(code: str) -> None:
    """Six ASCII digits are, and they must be the right ones."""
    assert matching_step(SECRET, code, now=NOW) is None


def test_authenticator_learns_the_secret_from_the_uri() -> None:
    """The URI carries it in base32, with the names that the telephone shows."""
    secret = new_totp_secret()
    uri = urlsplit(provisioning_uri(secret, username="ada@example.com", issuer="Tollgate"))
    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    assert uri.path == "/Tollgate%3Aada%40example.com"
    query = parse_qs(uri.query)
    assert query["issuer"] == ["Tollgate"]
    assert base64.b32decode(query["secret"][0]) == secret == base64.b32decode(base32_of(secret))


def test_secrets_are_never_the_same() -> None:
    """Each has as many bits as the hash."""
    secrets = {new_totp_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert {len(secret) for secret in secrets} == {20}
