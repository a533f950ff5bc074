"""Password hashing that costs a test nothing."""

from auth.passwords import PasswordHasher

CHEAP_KIBIBYTES = 64


def cheap_hasher() -> PasswordHasher:
    """Hash with argon2id as little as it can."""
    return PasswordHasher(memory_kibibytes=CHEAP_KIBIBYTES, passes=1)
