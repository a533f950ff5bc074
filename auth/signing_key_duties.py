"""Decide what is to be done about the signing keys at a moment. Pure: no I/O, no state."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from auth.signing_keys import PUBLISH_AHEAD, KeyState, Purpose, SigningKey

ERASE_AFTER: Final = timedelta(minutes=1)
"""How long a private part outlives its last signature, for servers whose clocks are behind."""

FORGET_AFTER: Final = timedelta(days=1)
"""How long a key that is good for nothing is still listed."""


@dataclass(frozen=True, slots=True)
class Duties:
    """What is due; nothing of it, mostly."""

    needs_first: bool
    """Nothing signs, and nothing is about to."""
    ageing: SigningKey | None
    """The key that signs and is so old that its successor has to be published."""
    to_erase: tuple[str, ...]
    to_forget: tuple[str, ...]

    def __bool__(self) -> bool:
        """Tell whether anything is due."""
        return self.needs_first or bool(self.ageing or self.to_erase or self.to_forget)


def duties_at(now: datetime, keys: Sequence[SigningKey], *, max_age: timedelta) -> Duties:
    """Say what is due when a key is to sign for `max_age` at most."""
    current, successor = signing_and_next(now, keys)
    is_old = current is not None and now >= current.signs_from + max_age - PUBLISH_AHEAD
    return Duties(
        needs_first=current is None and successor is None,
        ageing=current if is_old and successor is None else None,
        to_erase=tuple(key.kid for key in keys if _is_to_erase(key, now)),
        to_forget=tuple(key.kid for key in keys if _is_to_forget(key, now)),
    )


def signing_and_next(
    now: datetime, keys: Sequence[SigningKey]
) -> tuple[SigningKey | None, SigningKey | None]:
    """Find the key that signs and the one that is published to follow it."""
    by_state = {key.state(now): key for key in keys}
    return by_state.get(KeyState.SIGNING), by_state.get(KeyState.PUBLISHED)


def _is_to_erase(key: SigningKey, now: datetime) -> bool:
    ends_at = key.signs_until
    return key.sealed_private is not None and ends_at is not None and now >= ends_at + ERASE_AFTER


def _is_to_forget(key: SigningKey, now: datetime) -> bool:
    if key.purpose is Purpose.RECEIPT:
        return False
    ended_at = key.revoked_at or key.signs_until
    return ended_at is not None and now >= ended_at + FORGET_AFTER
