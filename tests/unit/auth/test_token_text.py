"""The text of a token: one way to write it, and nothing else is read."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.errors import CredentialInvalid
from auth.token_text import (
    MAX_CHARACTERS,
    PATTERN,
    Claims,
    decode_segment,
    encode_segment,
    lower_signature,
    parse_claims,
    parse_token,
    write_claims,
)
from tests.forgeries.forge import ORDER, raw_signature

CLAIMS = Claims(
    issuer="https://[::1]:8000/a b?c={d}",
    audience="https://api.example",
    subject="cli_0123456789abcdef",
    client_id="cli_0123456789abcdef",
    tenant_id="ten_0123456789abcdef",
    scope="models:read predict",
    token_id="0123456789abcdefghijkl",
    issued_at=1_793_000_000,
    expires_at=1_793_000_300,
)
SEGMENTS = [
    encode_segment(b'{"alg":"ES256","kid":"' + b"k" * 43 + b'","typ":"at+jwt"}'),
    encode_segment(b"{}"),
    encode_segment(raw_signature(1, 1)),
]


def test_claims_are_read_as_they_were_written() -> None:
    """Writing and reading are each other's inverse."""
    assert parse_claims(write_claims(CLAIMS)) == CLAIMS


@pytest.mark.parametrize(
    "issuer", ["", 'https://a"b', "https://a\\b", "https://ä.example", "a\n", "x" * 513]
)
def test_claims_that_would_need_an_escape_are_not_written(issuer: str) -> None:
    """A server whose name does not fit signs nothing that it would refuse."""
    with pytest.raises(ValueError, match="do not fit"):
        write_claims(replace(CLAIMS, issuer=issuer))


@given(st.binary(max_size=200))
def test_segment_is_read_as_it_was_written(content: bytes) -> None:
    """Writing and reading are each other's inverse."""
    assert decode_segment(encode_segment(content)) == content


@given(st.text(alphabet="AQgwBCz09-_=+/ \n", max_size=12))
def test_segment_has_one_text(text: str) -> None:
    """What is read is what would be written, character for character."""
    try:
        content = decode_segment(text)
    except CredentialInvalid:
        return
    assert encode_segment(content) == text


def test_well_formed_token_is_taken_apart() -> None:
    """The id of the key and the claims come out."""
    token = parse_token(".".join(SEGMENTS))
    assert (token.kid, token.claims) == ("k" * 43, b"{}")


def test_token_over_the_bound_is_refused() -> None:
    """Its length alone is enough."""
    with pytest.raises(CredentialInvalid, match="too long"):
        parse_token("." * (MAX_CHARACTERS + 1))


@pytest.mark.parametrize(
    ("r", "s"),
    [(0, 1), (1, 0), (ORDER, 1), (1, ORDER), (1, ORDER // 2 + 1), (2**256 - 1, 1)],
)
def test_signature_out_of_range_is_refused(r: int, s: int) -> None:
    """RFC 7518 section 3.4, and s in the lower half, so that a token has one text."""
    with pytest.raises(CredentialInvalid, match="signature"):
        parse_token(".".join([*SEGMENTS[:2], encode_segment(raw_signature(r, s))]))


@given(st.integers(1, ORDER - 1))
def test_signature_is_written_in_the_lower_half(s: int) -> None:
    """Of the two signatures that verify alike, one is chosen."""
    twins = {lower_signature(raw_signature(5, half)) for half in (s, ORDER - s)}
    assert len(twins) == 1
    parse_token(".".join([*SEGMENTS[:2], encode_segment(twins.pop())]))


def test_pattern_finds_a_token_and_no_more() -> None:
    """A search for secrets sees where a token begins and ends."""
    token = ".".join([SEGMENTS[0], encode_segment(write_claims(CLAIMS)), SEGMENTS[2]])
    assert re.findall(PATTERN, f"Bearer {token}, {token}\n") == [token, token]
    assert re.findall(PATTERN, "eyJ.eyJ.eyJ a.b.c tg_live_0") == []
