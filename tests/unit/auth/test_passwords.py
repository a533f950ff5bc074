"""What is taken as a password, and how it is kept."""

import unicodedata

import pytest

from auth.errors import InvalidChange
from auth.passwords import PasswordHasher, check_password
from tests.unit.auth.cheap_passwords import CHEAP_KIBIBYTES, cheap_hasher

GOOD = "plum kettle on the roof"


def test_default_parameters_are_what_the_standard_recommends() -> None:
    """RFC 9106 section 4, the second choice, on one lane: argon2id, 64 MiB, three passes."""
    stored = PasswordHasher().hash(GOOD)
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=1$")


def test_right_password_is_verified_and_a_wrong_one_is_not() -> None:
    """That is what it is for."""
    hasher = cheap_hasher()
    stored = hasher.hash(GOOD)
    assert hasher.verify(GOOD, stored)
    assert not hasher.verify(GOOD + ".", stored)


def test_nobody_has_any_password() -> None:
    """Not even the one that stands in for a missing account."""
    assert not cheap_hasher().verify("a password that nobody has", None)


def test_same_password_is_stored_differently_each_time() -> None:
    """Two people with one password are not told apart by it."""
    hasher = cheap_hasher()
    assert hasher.hash(GOOD) != hasher.hash(GOOD)


def test_no_character_is_ignored() -> None:
    """A long password is not truncated: its last character counts."""
    hasher = cheap_hasher()
    longest = "é" * 127
    stored = hasher.hash(longest + "a")
    assert not hasher.verify(longest + "b", stored)


def test_password_is_the_same_from_every_keyboard() -> None:
    """Composed and decomposed letters are one password."""
    hasher = cheap_hasher()
    typed = "crème brûlée for four"
    stored = hasher.hash(unicodedata.normalize("NFD", typed))
    assert hasher.verify(unicodedata.normalize("NFC", typed), stored)


def test_other_parameters_ask_for_a_new_hash() -> None:
    """What was hashed weaker is verified once more and then hashed anew."""
    stored = cheap_hasher().hash(GOOD)
    stronger = PasswordHasher(memory_kibibytes=2 * CHEAP_KIBIBYTES, passes=1)
    assert stronger.verify(GOOD, stored)
    assert stronger.needs_rehash(stored)
    assert not stronger.needs_rehash(stronger.hash(GOOD))


@pytest.mark.parametrize(
    "password",
    [
        GOOD,
        "plumkettleontheroof",
        "ソルトレイクシティの朝ごはんとみそしる",
        "🦀 crab walks into a bar",
        "x9$kQ!27vbn&LpR",
        "   three blanks in front",
        "plum kettle on " * 8 + "the roof",
    ],
)
def test_long_password_is_taken_whatever_it_is_made_of(password: str) -> None:
    """Length decides; there are no rules about kinds of characters."""
    assert check_password(password, username="ada") == unicodedata.normalize("NFKC", password)


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("plum kettle on", "15 to 128"),
        ("p" * 127 + "lu", "15 to 128"),
        ("x9$kQ!27vbn&Lp", "15 to 128"),
        ("passwordpassword", "tried first"),
        ("Correct Horse Battery Staple", "tried first"),
        ("P@ssw0rdPassw0rd", "tried first"),
        ("1q2w3e4r5t6y7u8i9o0p", "tried first"),
        ("aaaaaaaaaaaaaaaaaaaa", "repeats"),
        ("plumkeplumkeplumke", "repeats"),
        ("ab" * 10, "repeats"),
        ("abcdefghijklmnopqr", "counts"),
        ("zyxwvutsrqponmlkji", "counts"),
        ("ada.lovelace-2026", "username"),
        ("AdaLovelace123456", "username"),
        ("tollgate-admin-2026!", "username"),
        ("tollgatepassword!", "username"),
        ("plum kettle\x00on the roof", "typed"),
        ("plum kettle\non the roof", "typed"),
    ],
)
def test_guessable_password_is_refused_with_a_reason(password: str, reason: str) -> None:
    """Nobody's first guesses are taken, and the answer does not repeat them."""
    with pytest.raises(InvalidChange) as caught:
        check_password(password, username="ada.lovelace")
    assert caught.value.field == "password"
    assert reason in caught.value.message
    assert password not in str(caught.value)


def test_length_counts_characters_after_normalisation() -> None:
    """A ligature that falls apart counts as the letters that it is; a code point is one."""
    assert check_password("ﬃcious plum ket", username="ada") == "fficious plum ket"
    assert len(check_password("🦀🐙🦑🦐🐡🐠🐟🐬🐳🐋🦈🐊🐅🐆🦓", username="ada")) == 15
