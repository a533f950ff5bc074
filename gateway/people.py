"""Put together what serves people: the queue for their passwords, and the limits of log-ins."""

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from auth.devices import Devices
from auth.log_in import LogIn
from auth.password_work import PasswordWork
from auth.passwords import PasswordHasher
from gateway.attempts import AttemptWindows
from gateway.log_ins import LogIns
from gateway.public_doors import create_guard
from gateway.records import Records
from gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class People:
    """What routes need for admins and their sessions."""

    log_ins: LogIns
    passwords: PasswordWork


@contextlib.asynccontextmanager
async def open_people(settings: Settings, records: Records) -> AsyncIterator[People]:
    """Start the thread that passwords are hashed in, until the block ends."""
    hasher = PasswordHasher(memory_kibibytes=settings.password_memory_kibibytes)
    with contextlib.closing(PasswordWork(hasher)) as work:
        log_in = LogIn(records.store, work, times=settings.session_times, now=time.time)
        guard = create_guard(
            settings.log_ins_per_minute,
            AttemptWindows(now=time.monotonic),
            trusts_proxy=settings.trusts_proxy,
        )
        log_ins = LogIns(
            log_in,
            Devices(records.sealer, now=time.time),
            guard,
            failures_per_hour=settings.failed_log_ins_per_hour,
            now=time.monotonic,
        )
        try:
            yield People(log_ins, work)
        finally:
            await log_in.close()
