"""What a client sends to prove who it is: one proof of three kinds, and no two readings."""

import base64

import pytest

from auth.errors import CredentialError
from gateway.client_proof import ASSERTION_TYPE, AssertionProof, SecretProof, find_proof
from gateway.errors import TokenRequestInvalid
from gateway.oauth_form import Form

SECRET = {"client_id": "a", "client_secret": "b"}
ASSERTION = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": "c"}


def basic(pair: bytes) -> list[tuple[bytes, bytes]]:
    """Return the header of HTTP Basic."""
    return [(b"authorization", b"Basic " + base64.b64encode(pair))]


def test_basic_is_decoded_twice() -> None:
    """RFC 6749, section 2.3.1: both halves are form-urlencoded within."""
    proof = find_proof(basic(b"a%3Ab+c:d%25:e"), Form({}))
    assert proof == SecretProof("a:b c", "d%:e")


def test_scheme_is_told_in_any_case() -> None:
    """RFC 9110, section 11.1."""
    [(name, value)] = basic(b"a:b")
    headers = [(name, value.replace(b"Basic", b"bAsIc")), (b"accept", b"*/*")]
    assert find_proof(headers, Form({})) == SecretProof("a", "b")


def test_client_may_be_named_beside_its_header() -> None:
    """As some libraries do, if it is the same."""
    assert find_proof(basic(b"a:b"), Form({"client_id": "a"})) == SecretProof("a", "b")
    with pytest.raises(TokenRequestInvalid):
        find_proof(basic(b"a:b"), Form({"client_id": "other"}))


def test_secret_in_the_form() -> None:
    """The method client_secret_post."""
    assert find_proof([], Form(SECRET)) == SecretProof("a", "b")


@pytest.mark.parametrize(("members", "client_id"), [({}, ""), ({"client_id": "a"}, "a")])
def test_assertion_in_the_form(members: dict[str, str], client_id: str) -> None:
    """The method private_key_jwt; the client may be named beside it."""
    assert find_proof([], Form(ASSERTION | members)) == AssertionProof(client_id, "c")


@pytest.mark.parametrize(
    ("headers", "members"),
    [
        (basic(b"a:b"), SECRET),
        (basic(b"a:b"), ASSERTION),
        (basic(b"a:b") * 2, {}),
        ([], SECRET | ASSERTION),
        ([], {**SECRET, "client_assertion_type": ASSERTION_TYPE}),
        ([], {"client_assertion": "c"}),
        ([], {**ASSERTION, "client_assertion_type": "urn:other"}),
    ],
)
def test_request_with_two_readings_is_refused(
    headers: list[tuple[bytes, bytes]], members: dict[str, str]
) -> None:
    """RFC 6749, section 2.3: no more than one method in a request."""
    with pytest.raises(TokenRequestInvalid):
        find_proof(headers, Form(members))


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"")],
        [(b"authorization", b"Basic")],
        [(b"authorization", b"Basic \xff")],
        [(b"authorization", b"Basic YTpi YTpi")],
        [(b"authorization", b"Bearer x")],
        basic(b"no colon"),
        basic(b"%:b"),
        basic(b"a:\xff"),
    ],
)
def test_what_is_no_proof_is_refused_like_a_wrong_one(headers: list[tuple[bytes, bytes]]) -> None:
    """So that it is answered and counted alike."""
    with pytest.raises(CredentialError):
        find_proof(headers, Form({"client_id": "a"}))


@pytest.mark.parametrize("form", [SECRET, ASSERTION])
def test_proof_can_be_logged(form: dict[str, str]) -> None:
    """Neither secret nor assertion is in what is shown."""
    shown = repr(find_proof([], Form(form)))
    assert "'b'" not in shown
    assert "'c'" not in shown
