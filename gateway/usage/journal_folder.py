"""The journals of one data folder: one for each worker, and what workers that died left behind."""

import asyncio
import contextlib
import fcntl
import logging
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final, NamedTuple

from gateway.usage.claims import Claims
from gateway.usage.errors import JournalInUse, UsageError
from gateway.usage.journal import Journal
from gateway.usage.ledger import Ledger
from gateway.usage.periods import wall_clock_us
from gateway.usage.shipper import Shipper

MAX_SLOTS: Final = 256
ADOPT_SECONDS: Final = 2.0
_WAIT_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.02
_FORGET_EVERY_US: Final = 60_000_000
"""Answers that expire one after the other are not worth opening their file for each."""

logger = logging.getLogger(__name__)


class _Settled(NamedTuple):
    """A journal that was delivered, as it was left."""

    signature: tuple[int, ...]
    due_us: int | None
    """When answers in it are to be forgotten; None where there are none."""


class JournalFolder:
    """Give each worker a journal of its own, and deliver what is in those that nobody holds.

    A journal belongs to whoever holds its lock, which the system drops when its holder dies. So a
    free one with records in it was left by a worker that crashed, and any worker may deliver it.
    """

    def __init__(
        self,
        folder: Path,
        ledger: Ledger,
        *,
        max_bytes: int,
        max_answer_bytes: int = 256 * 1024 * 1024,
        claims: Claims | None = None,
        now_us: Callable[[], int] = wall_clock_us,
    ) -> None:
        """Build a view of an existing folder.

        Args:
            folder: holds `worker-<slot>.db`.
            ledger: where the records go.
            max_bytes: bound on the undelivered records of each journal.
            max_answer_bytes: bound on the answers that each journal keeps.
            claims: told which journals are open here; None where nobody asks.
            now_us: wall clock in microseconds since the epoch.
        """
        self._folder = folder
        self._ledger = ledger
        self._max_bytes = max_bytes
        self._max_answer_bytes = max_answer_bytes
        self._claims = claims
        self._now_us = now_us
        self._settled: dict[Path, _Settled] = {}

    @contextlib.asynccontextmanager
    async def starting(self) -> AsyncIterator[None]:
        """Let one worker of the folder at a time take its journal and join the ledger.

        Threat: a worker that found itself alone would tell the ledger so, while another joins.

        Raises:
            JournalInUse: somebody has been starting for a minute.
        """
        lock = os.open(self._folder / "starting.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            async with _within_a_minute(self._folder):
                await _lock(lock)
            yield
        finally:
            os.close(lock)

    async def take_first(self, on_waiting: Callable[[], None]) -> Journal:
        """Open the first journal, and wait for whoever holds it; the only one to count limits does.

        Args:
            on_waiting: called once if it is held.

        Raises:
            JournalInUse: it was not given free within a minute.
            JournalUnavailable: it cannot be opened.
        """
        journal = self._journal(self._path(0))
        if not await _is_opened(journal):
            on_waiting()
            async with _within_a_minute(self._path(0)):
                await _open_when_free(journal)
        self._mark_open(journal)
        return journal

    async def take_free(self) -> Journal:
        """Open the first journal that nobody holds.

        Raises:
            JournalInUse: all of them are held.
            JournalUnavailable: it cannot be opened.
        """
        for slot in range(MAX_SLOTS):
            journal = self._journal(self._path(slot))
            if await _is_opened(journal):
                self._mark_open(journal)
                return journal
        raise JournalInUse(str(self._folder))

    async def adopt(self) -> bool:
        """Deliver every journal that nobody holds; say whether no other holds anything back.

        One that cannot be delivered stays for the next time, and is told in the log. One that was
        delivered is opened again when answers in it expire, so that none outlives its day.
        """
        outcomes = [
            await self._settle(path)
            for path in sorted(self._folder.glob("worker-*.db"))
            if not self._is_settled(path)
        ]
        return all(outcomes)

    def _is_settled(self, path: Path) -> bool:
        settled = self._settled.get(path)
        if settled is None or settled.signature != _signature(path):
            return False
        return settled.due_us is None or self._now_us() < settled.due_us

    async def _settle(self, path: Path) -> bool:
        journal = self._journal(path)
        try:
            await journal.open()
        except JournalInUse:
            return False
        except UsageError as error:
            logger.warning("a journal that was left behind cannot be opened: %s", error)
            return False
        self._mark_open(journal)
        is_left = journal.held_bytes > 0
        try:
            shipper = Shipper(
                journal, self._ledger, interval_seconds=ADOPT_SECONDS, now_us=self._now_us
            )
            await shipper.settle()
            await journal.forget_expired()
            expiry_us = await journal.first_expiry_us()
        except UsageError as error:
            logger.warning("usage waits in %s, which nobody holds: %s", path.name, error)
            return False
        finally:
            if self._claims is not None:
                self._claims.mark_closed(path)
            await journal.close()
        later_us = self._now_us() + _FORGET_EVERY_US
        due_us = None if expiry_us is None else max(expiry_us, later_us)
        self._settled[path] = _Settled(_signature(path), due_us)
        if is_left:
            logger.info("usage that was left in %s is in the ledger", path.name)
        return True

    def _journal(self, path: Path) -> Journal:
        return Journal(
            path,
            max_bytes=self._max_bytes,
            max_answer_bytes=self._max_answer_bytes,
            now_us=self._now_us,
        )

    def _mark_open(self, journal: Journal) -> None:
        if self._claims is not None:
            self._claims.mark_open(journal.path)

    def _path(self, slot: int) -> Path:
        return self._folder / f"worker-{slot}.db"


@contextlib.asynccontextmanager
async def keep_adopting(
    folder: JournalFolder, *, interval_seconds: float = ADOPT_SECONDS
) -> AsyncIterator[None]:
    """Deliver what workers leave behind, every few seconds until the block ends."""
    task = asyncio.create_task(_keep_adopting(folder, interval_seconds))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _keep_adopting(folder: JournalFolder, interval_seconds: float) -> None:
    while True:
        await asyncio.sleep(interval_seconds)
        await folder.adopt()


@contextlib.asynccontextmanager
async def _within_a_minute(path: Path) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(_WAIT_SECONDS):
            yield
    except TimeoutError:
        raise JournalInUse(str(path)) from None


async def _is_opened(journal: Journal) -> bool:
    try:
        await journal.open()
    except JournalInUse:
        return False
    return True


async def _open_when_free(journal: Journal) -> None:
    """Open a journal as soon as nobody holds it; no event tells when another process lets go."""
    while True:
        if await _is_opened(journal):
            return
        await asyncio.sleep(_POLL_SECONDS)


async def _lock(descriptor: int) -> None:
    """Take a lock as soon as it is free; the loop goes on meanwhile."""
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            await asyncio.sleep(_POLL_SECONDS)
        else:
            return


def _signature(path: Path) -> tuple[int, ...]:
    """Tell whether a journal was written to; its log is a file beside it."""
    found: list[int] = []
    for name in (path.name, f"{path.name}-wal"):
        with contextlib.suppress(FileNotFoundError):
            status = path.with_name(name).stat()
            found += (status.st_mtime_ns, status.st_size)
    return tuple(found)
