"""Assertions by which clients prove who they are: one good one, and many that are not."""

from typing import Any

import pytest

from auth.assertions import Assertion, parse_assertion
from auth.client_keys import ClientKey, read_keys
from auth.errors import CredentialInvalid
from tests.unit.auth.jwks import encoded, make_pair

NOW = 1_800_000_000
ISSUER = "https://tollgate.example"
TOKEN_ENDPOINT = f"{ISSUER}/oauth2/token"
AUDIENCES = frozenset({ISSUER, TOKEN_ENDPOINT})
PAIR = make_pair("ES256")
GOOD: dict[str, Any] = {
    "iss": "cli_0123456789abcdef",
    "sub": "cli_0123456789abcdef",
    "aud": TOKEN_ENDPOINT,
    "jti": "once",
    "exp": NOW + 60,
    "iat": NOW,
}


def parse(text: str) -> Assertion:
    """Take an assertion apart at the moment of these tests."""
    return parse_assertion(text, audiences=AUDIENCES, now=NOW)


def without(name: str) -> dict[str, Any]:
    """Return the good claims but one."""
    return {key: value for key, value in GOOD.items() if key != name}


def raw(header: bytes, claims: bytes) -> str:
    """Return a JWS of bytes that may be no JSON."""
    signed = f"{encoded(header)}.{encoded(claims)}"
    return f"{signed}.{encoded(PAIR.sign(signed.encode()))}"


@pytest.mark.parametrize(
    ("claims", "lives_for"),
    [
        (GOOD, 60),
        (GOOD | {"exp": NOW + 3600}, 300),
        (GOOD | {"exp": NOW + 3600, "iat": NOW - 200}, 100),
        (GOOD | {"exp": NOW + 59.5}, 59.5),
        (GOOD | {"aud": ISSUER}, 60),
        (GOOD | {"aud": [TOKEN_ENDPOINT, ISSUER]}, 60),
        (GOOD | {"nbf": NOW, "other": {"nested": [1]}}, 60),
        (without("iat"), 60),
        (without("iat") | {"exp": NOW + 300}, 300),
    ],
)
def test_assertion_is_good_for_five_minutes_at_most(
    claims: dict[str, Any], lives_for: float
) -> None:
    """Whatever end a library wrote into it."""
    assertion = parse(PAIR.jws(claims))
    assert assertion.ends_at_seconds - NOW == lives_for
    assert (assertion.client_id, assertion.token_id) == (GOOD["iss"], "once")


@pytest.mark.parametrize("kind", ["JWT", "client-authentication+jwt"])
def test_type_of_a_client_authentication_is_taken(kind: str) -> None:
    """Both forms that libraries write."""
    assert parse(PAIR.jws(GOOD, typ=kind)).algorithm == "ES256"


def test_signed_part_is_what_the_key_verifies() -> None:
    """To the byte."""
    assertion = parse(PAIR.jws(GOOD, kid="mine"))
    [key] = read_keys(PAIR.jwks(kid="mine"))
    assert assertion.key_among([key]) == key
    assert key.verify(assertion.signature, assertion.signed)


def keys(*named: tuple[str, str]) -> list[ClientKey]:
    """Return keys of these names and algorithms."""
    return [ClientKey(name, algorithm, ()) for name, algorithm in named]


@pytest.mark.parametrize(
    ("known", "named", "found"),
    [
        (keys(("a", "ES256")), None, "a"),
        (keys(("a", "ES256"), ("b", "RS256")), None, "a"),
        (keys(("a", "ES256"), ("b", "ES256")), "b", "b"),
        (keys(("a", "ES256"), ("b", "ES256")), None, None),
        (keys(("a", "RS256")), "a", None),
        (keys(("a", "ES256")), "b", None),
        ([], None, None),
    ],
)
def test_key_is_the_named_one_or_the_only_one(
    known: list[ClientKey], named: str | None, found: str | None
) -> None:
    """Of the algorithm that the assertion says, and never guessed."""
    header = {} if named is None else {"kid": named}
    key = parse(PAIR.jws(GOOD, **header)).key_among(known)
    assert (key.name if key else None) == found


REFUSED = {
    "empty": "",
    "one part": "e30",
    "two parts": "e30.e30",
    "four parts": PAIR.jws(GOOD) + ".e30",
    "five parts": "e30.e30.e30.e30.e30",
    "no signature": PAIR.jws(GOOD).rpartition(".")[0] + ".",
    "padding": PAIR.jws(GOOD) + "=",
    "a line break": PAIR.jws(GOOD) + "\n",
    "spare bits": "e31" + PAIR.jws(GOOD)[3:],
    "too long": PAIR.jws(GOOD | {"other": "a" * 4096}),
    "no JSON": raw(b"{", b"{}"),
    "a list": raw(b"[]", b"{}"),
    "claims that are a list": raw(b'{"alg":"ES256"}', b"[]"),
    "a header twice": raw(b'{"alg":"ES256","alg":"ES256"}', b"{}"),
    "a claim twice": raw(b'{"alg":"ES256"}', b'{"iss":"a","iss":"a"}'),
    "deep nesting": raw(b'{"alg":' + b"[" * 1000, b"{}"),
    "no UTF-8": raw(b'{"alg":"ES256"}', b'{"iss":"\xff"}'),
    "half a character": raw(b'{"alg":"ES256"}', b'{"iss":"\\ud800","sub":"\\ud800"}'),
    "no algorithm": PAIR.jws(GOOD, alg=None),
    "the algorithm none": PAIR.jws(GOOD, alg="none"),
    "a symmetric algorithm": PAIR.jws(GOOD, alg="HS256"),
    "an algorithm in small letters": PAIR.jws(GOOD, alg="es256"),
    "an algorithm that is a list": PAIR.jws(GOOD, alg=["ES256"]),
    "an access token": PAIR.jws(GOOD, typ="at+jwt"),
    "a type that is none": PAIR.jws(GOOD, typ=["JWT"]),
    "crit": PAIR.jws(GOOD, crit=["exp"]),
    "jwk": PAIR.jws(GOOD, jwk=PAIR.jwk),
    "jku": PAIR.jws(GOOD, jku="https://evil.example/jwks.json"),
    "x5u": PAIR.jws(GOOD, x5u="https://evil.example/chain.pem"),
    "x5c": PAIR.jws(GOOD, x5c=["AAAA"]),
    "b64": PAIR.jws(GOOD, b64=False),
    "zip": PAIR.jws(GOOD, zip="DEF"),
    "a kid that is a number": PAIR.jws(GOOD, kid=1),
    "an empty kid": PAIR.jws(GOOD, kid=""),
    "no issuer": PAIR.jws(without("iss")),
    "no subject": PAIR.jws(without("sub")),
    "another subject": PAIR.jws(GOOD | {"sub": "cli_other"}),
    "an issuer that is a number": PAIR.jws(GOOD | {"iss": 1, "sub": 1}),
    "an issuer without end": PAIR.jws(GOOD | {"iss": "a" * 300, "sub": "a" * 300}),
    "no audience": PAIR.jws(without("aud")),
    "no audience in the list": PAIR.jws(GOOD | {"aud": []}),
    "another audience": PAIR.jws(GOOD | {"aud": "https://other.example"}),
    "another audience too": PAIR.jws(GOOD | {"aud": [ISSUER, "https://other.example"]}),
    "an audience that begins like ours": PAIR.jws(GOOD | {"aud": ISSUER + ".evil.example"}),
    "an audience that is an object": PAIR.jws(GOOD | {"aud": {ISSUER: 1}}),
    "an audience within a list": PAIR.jws(GOOD | {"aud": [[ISSUER]]}),
    "no token id": PAIR.jws(without("jti")),
    "an empty token id": PAIR.jws(GOOD | {"jti": ""}),
    "a token id that is a number": PAIR.jws(GOOD | {"jti": 1}),
    "a token id without end": PAIR.jws(GOOD | {"jti": "a" * 257}),
    "no end": PAIR.jws(without("exp")),
    "an end that is text": PAIR.jws(GOOD | {"exp": str(NOW + 60)}),
    "an end that is true": PAIR.jws(GOOD | {"exp": True}),
    "an end beyond all clocks": PAIR.jws(GOOD | {"exp": 10**40}),
    "an infinite end": raw(b'{"alg":"ES256"}', b'{"exp":Infinity}'),
    "expired now": PAIR.jws(GOOD | {"exp": NOW}),
    "expired": PAIR.jws(GOOD | {"exp": NOW - 1}),
    "good for too long": PAIR.jws(without("iat") | {"exp": NOW + 331}),
    "too old": PAIR.jws(GOOD | {"exp": NOW + 3600, "iat": NOW - 300}),
    "from the future": PAIR.jws(GOOD | {"iat": NOW + 31}),
    "not yet": PAIR.jws(GOOD | {"nbf": NOW + 31}),
    "an age that is text": PAIR.jws(GOOD | {"iat": "now"}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_assertion_is_refused(case: str) -> None:
    """Before anything is looked up."""
    with pytest.raises(CredentialInvalid):
        parse(REFUSED[case])
