"""The passwords of admins: what is taken, and how it is kept (NIST SP 800-63B section 5.1.1.2).

Length and a blocklist decide, no rules about kinds of characters. A password is normalised (NFKC,
the same on every keyboard), never truncated, and kept as argon2id (RFC 9106) through passlib.
"""

import base64
import secrets
import unicodedata
from itertools import pairwise
from typing import Final

from passlib.hash import argon2

from auth.common_passwords import COMMON_PASSWORDS, COMMON_WORDS
from auth.errors import InvalidChange

LEAST_CHARACTERS: Final = 15
MOST_CHARACTERS: Final = 128
_LEAST_DISTINCT: Final = 6
_LEAST_OWN_CHARACTERS: Final = 8
"""What must be left of a password once the username and the commonest words are taken out."""
_SHORTEST_WORD: Final = 3
_LOOK_ALIKES: Final = str.maketrans("013457@$!|", "oieastasil")
_MEMORY_KIBIBYTES: Final = 64 * 1024
_PASSES: Final = 3
_TAG_BYTES: Final = 32
_SALT_BYTES: Final = 16


class PasswordHasher:
    """Hash and verify with argon2id.

    64 MiB and three passes, the second recommendation of RFC 9106 section 4, but on one lane: four
    would take every core from the predictions for as long. About 0.2 s each; never on the event
    loop, see `auth.password_work`.
    """

    def __init__(self, *, memory_kibibytes: int = _MEMORY_KIBIBYTES, passes: int = _PASSES) -> None:
        """Hash with these parameters; what was hashed with others can still be verified."""
        self._scheme = argon2.using(
            type="ID",
            memory_cost=memory_kibibytes,
            rounds=passes,
            parallelism=1,
            digest_size=_TAG_BYTES,
            salt_size=_SALT_BYTES,
        )
        self._decoy = _hash_of_nothing(memory_kibibytes, passes)

    def hash(self, password: str) -> str:
        """Return what is stored of a password: parameters, salt and tag in one text."""
        stored: str = self._scheme.hash(normalised(password))
        return stored

    def verify(self, password: str, stored: str | None) -> bool:
        """Tell whether a password is the one that was stored; None is nobody's.

        Threat: an unknown username that was refused sooner than a wrong password would tell a
        guesser who has an account, so nobody's password is verified at the same cost.
        """
        is_right: bool = self._scheme.verify(normalised(password), stored or self._decoy)
        return is_right

    def needs_rehash(self, stored: str) -> bool:
        """Tell whether a password was hashed with other parameters than these."""
        is_outdated: bool = self._scheme.needs_update(stored)
        return is_outdated


def _hash_of_nothing(memory_kibibytes: int, passes: int) -> str:
    """Write down a hash that no password has, without the work of making one."""
    salt, tag = (
        base64.b64encode(secrets.token_bytes(size)).rstrip(b"=").decode()
        for size in (_SALT_BYTES, _TAG_BYTES)
    )
    return f"$argon2id$v=19$m={memory_kibibytes},t={passes},p=1${salt}${tag}"


def normalised(password: str) -> str:
    """Return the one form of a password that is compared, however it was typed."""
    return unicodedata.normalize("NFKC", password)


def check_password(password: str, *, username: str) -> str:
    """Return a password that may be chosen, normalised.

    Raises:
        InvalidChange: too short, too long, or one that a guesser tries early; it is never quoted.
    """
    chosen = normalised(password)
    if not LEAST_CHARACTERS <= len(chosen) <= MOST_CHARACTERS:
        raise InvalidChange(
            f"must have {LEAST_CHARACTERS} to {MOST_CHARACTERS} characters", "password"
        )
    if any(unicodedata.category(character) in ("Cc", "Cs", "Cn") for character in chosen):
        raise InvalidChange("must have characters that can be typed only", "password")
    problem = _guessability(chosen.casefold(), username.casefold())
    if problem is not None:
        raise InvalidChange(problem, "password")
    return chosen


def _guessability(password: str, username: str) -> str | None:
    """Say why a password is among the first that a guesser tries."""
    readings = (password, password.translate(_LOOK_ALIKES))
    if {*readings, *map(_letters, readings)} & COMMON_PASSWORDS:
        return "is one of the passwords that are tried first"
    if len(set(password)) < _LEAST_DISTINCT or password in (password + password)[1:-1]:
        return "repeats a few characters"
    steps = sum(abs(ord(after) - ord(before)) == 1 for before, after in pairwise(password))
    if 2 * steps > len(password):
        return "counts up or down"
    if min(_own_characters(reading, username) for reading in readings) < _LEAST_OWN_CHARACTERS:
        return "is little more than the username and common words"
    return None


def _own_characters(password: str, username: str) -> int:
    """Count what is left without the words that everybody would try for this account."""
    parts = "".join(mark if mark.isalnum() else " " for mark in username).split()
    rest = password
    for word in sorted({*COMMON_WORDS, "".join(parts), *parts}, key=len, reverse=True):
        if len(word) >= _SHORTEST_WORD:
            rest = rest.replace(word, "")
    return len("".join(rest.split()))


def _letters(password: str) -> str:
    return "".join(filter(str.isalnum, password))
