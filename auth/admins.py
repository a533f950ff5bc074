"""Admins and their sessions, as plain values. Times are aware and in UTC."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from auth.errors import InvalidChange
from auth.scopes import ALL_SCOPES, PREDICT

ADMIN_SCOPES: Final = ALL_SCOPES - {PREDICT}
"""What a person may hold: predictions are asked for by programs, and are on a tenant's bill."""

USERNAME_CHARACTERS: Final = 64
_username: Final = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}").fullmatch


@dataclass(frozen=True, slots=True)
class Admin:
    """Describe a person who runs the platform, without anything that proves it."""

    admin_id: str
    username: str
    scopes: tuple[str, ...]
    has_totp: bool
    created_at: datetime
    disabled_at: datetime | None
    password_changed_at: datetime
    last_log_in_at: datetime | None


@dataclass(frozen=True, slots=True)
class Proof:
    """Carry what an admin's log-in is compared with; never to an answer or a log."""

    admin: Admin
    password_hash: str = field(repr=False)
    totp_secret: bytes | None = field(repr=False)
    totp_last_step: int
    """Of the last code that was accepted: none up to it is taken again."""


@dataclass(frozen=True, slots=True)
class Session:
    """Describe a log-in: who, since when, and until when."""

    session_id: str
    admin_id: str
    created_at: datetime
    expires_at: datetime
    """The end that nothing postpones."""
    idle_ends_at: datetime
    """The end if the session is not used any more."""
    last_used_at: datetime
    revoked_at: datetime | None

    @property
    def ends_at(self) -> datetime:
        """Return when the session ends as it stands."""
        return min(self.expires_at, self.idle_ends_at)


@dataclass(frozen=True, slots=True)
class IssuedSession:
    """Carry a new session to the one answer that shows its token."""

    session: Session
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class BootstrapToken:
    """Carry the token that makes the first admin to the one place that shows it."""

    expires_at: datetime
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SessionTimes:
    """Say how long sessions last (OWASP ASVS 7.3.1 and 7.3.2)."""

    lifetime: timedelta = timedelta(hours=12)
    idle: timedelta = timedelta(hours=1)

    @property
    def recorded_every(self) -> timedelta:
        """Return how stale the time of the last use may be, so that not every request is a write.

        An idle session ends so much early at most, and never late.
        """
        return self.idle / 12


def is_username(username: str) -> bool:
    """Tell whether a text can be a username; nothing else is looked up."""
    return username.isascii() and _username(username.lower()) is not None


def check_username(username: str) -> str:
    """Return the one form of a username: lower case.

    Threat: two accounts that read alike let one person pass for another, so there is one alphabet.

    Raises:
        InvalidChange: not a username.
    """
    if not is_username(username):
        raise InvalidChange(
            f"must be 1 to {USERNAME_CHARACTERS} of a-z, 0-9, '.', '_', '@', '+' and '-'",
            "username",
        )
    return username.lower()


def check_admin_scopes(scopes: Iterable[str]) -> list[str]:
    """Return the scopes of an admin, sorted.

    Raises:
        InvalidChange: none, unknown, or `predict`.
    """
    wanted = frozenset(scopes)
    if not wanted or not wanted <= ADMIN_SCOPES:
        raise InvalidChange(f"must be some of {', '.join(sorted(ADMIN_SCOPES))}", "scopes")
    return sorted(wanted)
