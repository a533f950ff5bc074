"""Reconcile beside the requests, every hour, so that a difference is an alarm and no surprise."""

import asyncio
import contextlib
import fcntl
import glob
import logging
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from auth.tables import tenants
from gateway.counters import open_redis_counters
from gateway.data_folder import JOURNALS
from gateway.errors import EvidenceUnreadable
from gateway.evidence.kinds import Finding, Kind, Tally
from gateway.evidence.reconcile import ReadCounters, Sources, reconcile
from gateway.limits.counted import Counted
from gateway.limits.limiter import Limiter
from gateway.limits.local_limiter import LocalLimiter
from gateway.settings import Settings
from gateway.usage.errors import UsageError
from gateway.usage.periods import wall_clock_us

_OVERLAP_US: Final = 600_000_000
"""How far a run looks back before the last one ended: what was unfinished then is judged now."""

_MICROSECONDS: Final = 1_000_000
_ELECT_SECONDS: Final = 5.0
_LOCK: Final = "reconciling.lock"
_LOCK_FLAGS: Final = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC

logger = logging.getLogger(__name__)


class Reconciler:
    """Compare what this server can see, and keep what the last run found."""

    def __init__(
        self, settings: Settings, engine: AsyncEngine, counters: ReadCounters | None
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._counters = counters
        self._ended_us = wall_clock_us() - int(settings.reconcile_seconds * _MICROSECONDS)
        self.counts: Counter[Kind] = Counter()
        """What the last run found."""
        self.ran_at = time.monotonic()
        """When a run last came to its end, on the clock `time.monotonic`; the start before that."""
        self.elected = asyncio.Event()
        """Set from when this worker is the one of its server that compares."""

    def elect(self) -> None:
        """Be the one that compares."""
        self.ran_at = time.monotonic()
        self.elected.set()

    async def run(self) -> None:
        """Compare what happened since the last run.

        Raises:
            UsageError, SQLAlchemyError, EvidenceUnreadable, OSError: something cannot be read.
        """
        now_us = wall_clock_us()
        start_us = self._ended_us - _OVERLAP_US
        tally = Tally(self._tell)
        done = await reconcile(
            Sources(
                engine=self._engine,
                journals=self._settings.data_dir / "journals",
                logs=await asyncio.to_thread(find_logs, self._settings.reconcile_logs, start_us),
                read_counters=self._counters,
                tenant_ids=await self._tenant_ids(),
            ),
            start_us=start_us,
            end_us=now_us,
            tally=tally,
        )
        self._ended_us = max(self._ended_us, done.end_us)
        self.counts = tally.counts
        self.ran_at = time.monotonic()

    def _tell(self, finding: Finding) -> None:
        if not finding.kind.is_explained:
            words = (finding.kind.title, finding.subject, finding.kind.meaning, finding.detail)
            logger.error("reconciliation: %s %s: %s %s", *words)

    async def _tenant_ids(self) -> list[str]:
        async with self._engine.connect() as connection:
            await connection.execution_options(postgresql_readonly=True)
            return list(await connection.scalars(select(tenants.c.tenant_id)))


@contextlib.asynccontextmanager
async def keep_reconciling(
    settings: Settings,
    engine: AsyncEngine,
    limiter: Limiter,
    *,
    elect_seconds: float = _ELECT_SECONDS,
) -> AsyncIterator[Reconciler]:
    """Compare every so often until the block ends, if no other worker of the server does.

    Whoever holds a lock does it, and the system drops the lock of one that dies, so another takes
    over within `elect_seconds`.

    Raises:
        OSError: the file of the lock cannot be opened.
    """
    async with _open_counters(settings, limiter) as counters, _open_lock(settings) as lock:
        reconciler = Reconciler(settings, engine, counters)
        if _is_free(lock):
            reconciler.elect()
        task = asyncio.create_task(
            _keep(reconciler, settings.reconcile_seconds, lock, elect_seconds=elect_seconds)
        )
        try:
            yield reconciler
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def find_logs(patterns: str, since_us: int) -> list[Path]:
    """List the files that comma-separated patterns name, but for those that ended before."""
    words = (word.strip() for word in patterns.split(","))
    found = {Path(name) for word in words if word for name in glob.glob(word)}  # noqa: PTH207 - patterns may be absolute
    return sorted(path for path in found if path.stat().st_mtime_ns // 1000 >= since_us)


async def _keep(
    reconciler: Reconciler, interval_seconds: float, lock: int, *, elect_seconds: float
) -> None:
    """Go on after an outage; that no run came to its end is a metric of its own."""
    while not reconciler.elected.is_set():
        await asyncio.sleep(elect_seconds)
        if _is_free(lock):
            reconciler.elect()
    while True:
        await asyncio.sleep(interval_seconds)
        try:
            await reconciler.run()
        except (UsageError, SQLAlchemyError, EvidenceUnreadable, OSError) as error:
            logger.warning("the accounts cannot be compared: %s", error)


@contextlib.asynccontextmanager
async def _open_lock(settings: Settings) -> AsyncIterator[int]:
    lock = os.open(settings.data_dir / JOURNALS / _LOCK, _LOCK_FLAGS, 0o600)
    try:
        yield lock
    finally:
        os.close(lock)


def _is_free(lock: int) -> bool:
    """Take the lock if nobody else holds it, and say so."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.asynccontextmanager
async def _open_counters(
    settings: Settings, limiter: Limiter
) -> AsyncIterator[ReadCounters | None]:
    if isinstance(limiter, LocalLimiter):

        async def read(tenant_ids: Sequence[str], period: int) -> Mapping[str, Counted]:
            return limiter.counted(tenant_ids, period)

        yield read
        return
    async with open_redis_counters(settings) as counters:
        yield counters
