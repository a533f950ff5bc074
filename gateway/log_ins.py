"""Bound how often passwords can be guessed, before any work is done for a guess.

Three counts, all in memory and of this worker alone (docs/decisions/0009-guessing.md):

- of an address: log-ins from devices that are not known;
- of an account: failures from devices that it is not known from, all addresses together;
- of a known device: its failures, apart from all others'.

Threat: with a count per address alone, a thousand addresses make a thousand times the guesses; with
one count per account, whoever fails often enough shuts its owner out. So a device from which the
owner has logged in before has a count of its own, which nobody else can use up.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from auth.actor import Actor
from auth.admins import IssuedSession
from auth.devices import Device, Devices
from auth.errors import PasswordWorkFull
from auth.log_in import Claim, LogIn
from gateway.attempts import AttemptWindows
from gateway.errors import LogInLimited
from gateway.public_doors import Guard

HOUR_SECONDS: Final = 3600.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A new session, and the token by which its device is known from now on."""

    issued: IssuedSession
    device_token: str


class LogIns:
    """Let people log in, as often as the limits say."""

    def __init__(
        self,
        log_in: LogIn,
        devices: Devices,
        guard: Guard,
        *,
        failures_per_hour: int,
        now: Callable[[], float],
    ) -> None:
        """Count in windows on `now`, in monotonic seconds; `guard` counts addresses."""
        self._log_in = log_in
        self._devices = devices
        self._guard = guard
        self._limit = failures_per_hour
        self._accounts = AttemptWindows(now=now, window_seconds=HOUR_SECONDS)
        self._known = AttemptWindows(now=now, window_seconds=HOUR_SECONDS)

    async def open(
        self, request: Request, claim: Claim, *, device_token: str | None, actor: Actor
    ) -> OpenedSession:
        """Open a session, unless the claim is wrong or there were too many before it.

        An attempt is counted before it is looked at, and given back when it was right or was not
        looked at after all: of a hundred at once no more are looked at than of a hundred in a row.

        Raises:
            AddressLimited, LogInLimited: too many; whether the account exists plays no part.
            CredentialInvalid: the claim is wrong.
            PasswordWorkFull: too many passwords wait to be verified.
        """
        username = claim.username.lower()
        device = self._known_device(device_token, username)
        if device is None:
            await self._guard(request)
            counts, key = self._accounts, username
        else:
            counts, key = self._known, device.device_id
        self._count(counts, key)
        try:
            issued = await self._log_in.open(claim, is_known=device is not None, actor=actor)
        except PasswordWorkFull:
            counts.add(key, -1)
            raise
        counts.add(key, -1)
        return OpenedSession(issued, self._devices.issue(username, known=device))

    async def check_own(self, admin_id: str, password: str) -> None:
        """Pass if a password is the one of the admin whose session asks.

        Threat: who has got hold of a session would else learn the password by trying.

        Raises:
            LogInLimited: too many wrong ones in an hour.
            CredentialInvalid: it is not.
            PasswordWorkFull: too many passwords wait to be verified.
        """
        self._count(self._known, admin_id)
        try:
            await self._log_in.check_password(admin_id, password)
        except PasswordWorkFull:
            self._known.add(admin_id, -1)
            raise
        self._known.add(admin_id, -1)

    def _known_device(self, token: str | None, username: str) -> Device | None:
        """Return the device if this account knows it and it has guesses left.

        One that has none left is a stranger, as the owner's new telephone is.
        """
        device = self._devices.read(token)
        if device is None or device.username != username:
            return None
        return device if self._known.read(device.device_id).events < self._limit else None

    def _count(self, counts: AttemptWindows, key: str) -> None:
        tally = counts.add(key)
        if tally.events <= self._limit:
            return
        if tally.events == self._limit + 1:
            logger.warning("an account was tried %d times in an hour", tally.events)
        raise LogInLimited(math.ceil(tally.seconds_left))
