"""The format of API keys."""

import re
import string
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.api_keys import KEY_CHARACTERS, PATTERN, SecretKind, digest, mint, parse
from auth.errors import CredentialInvalid


@pytest.mark.parametrize("kind", get_args(SecretKind))
def test_minted_key_is_parsed_back(kind: SecretKind) -> None:
    """What mint makes, parse takes apart."""
    minted = mint(kind=kind)
    assert parse(minted.text) == minted
    assert minted.text.startswith(f"tg_{kind}_")


def test_every_changed_character_is_refused_offline() -> None:
    """No single character of a key can be mistyped without being noticed."""
    text = mint(kind="live").text
    for place, right in enumerate(text):
        for wrong in set(string.printable) - {right}:
            with pytest.raises(CredentialInvalid):
                parse(text[:place] + wrong + text[place + 1 :])


@given(text=st.text(max_size=KEY_CHARACTERS + 2))
def test_garbage_is_refused(text: str) -> None:
    """Any other text is an invalid credential and no other error."""
    with pytest.raises(CredentialInvalid):
        parse(text)


@given(tail=st.text(min_size=1))
def test_nothing_may_follow_a_key(tail: str) -> None:
    """A key with something behind it is no key."""
    with pytest.raises(CredentialInvalid):
        parse(mint(kind="live").text + tail)


def test_other_digits_are_refused() -> None:
    """Digits outside ASCII are not base62."""
    with pytest.raises(CredentialInvalid):
        parse(f"tg_live_{'٣' * 16}_{'0' * 38}")


def test_minted_keys_never_repeat() -> None:
    """100,000 keys have as many ids and as many texts."""
    minted = [mint(kind="live") for _ in range(100_000)]
    assert len({key.key_id for key in minted}) == 100_000
    assert len({key.text.rpartition("_")[2] for key in minted}) == 100_000


def test_rotation_keeps_the_key_id() -> None:
    """A new secret can be minted for an existing id."""
    first = mint(kind="live")
    second = mint(kind="live", key_id=first.key_id)
    assert second.key_id == first.key_id
    assert second.text != first.text


@pytest.mark.parametrize("kind", get_args(SecretKind))
def test_scanner_pattern_finds_keys_in_text(kind: SecretKind) -> None:
    """The pattern for secret scanners finds a key between other words."""
    text = mint(kind=kind).text
    assert re.findall(PATTERN, f"api_key={text}\n") == [text]


def test_digest_depends_on_the_pepper() -> None:
    """The same key under another pepper is stored differently."""
    text = mint(kind="live").text
    assert digest(b"a" * 32, text) != digest(b"b" * 32, text)
    assert len(digest(b"a" * 32, text)) == 32


def test_repr_of_a_parsed_key_has_no_secret() -> None:
    """A parsed key can be logged."""
    minted = mint(kind="live")
    assert minted.text.rpartition("_")[2] not in f"{minted!r} {minted} {[minted]}"


def test_published_pattern_is_the_one_that_is_used() -> None:
    """Secret scanners read it in the documentation."""
    page = Path(__file__).parents[3] / "docs" / "security.md"
    assert f"\n{PATTERN}\n" in page.read_text(encoding="utf-8")
