"""The durable local log of usage: no answer leaves before its record is on disk here.

Everyone who waits shares the next fsync. What is written here and not yet in the ledger survives
any crash of the process or the machine, and is delivered by the shipper.
"""

import logging
import sqlite3
import time
from asyncio import Future, get_running_loop, to_thread
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import orjson

from gateway.coalescer import Coalescer, CoalescerFull
from gateway.usage.answers import (
    KEPT_SECONDS,
    MOST_FORGOTTEN,
    AnswerRoom,
    Freed,
    KeptAnswer,
    Row,
)
from gateway.usage.errors import JournalDamaged, JournalUnavailable
from gateway.usage.periods import wall_clock_us
from gateway.usage.record import UsageRecord
from gateway.usage.segment_file import SegmentFile, Segments
from gateway.usage.writer_thread import WriterThread

logger = logging.getLogger(__name__)

_PROBE_SECONDS = 1.0
_KEPT_US = KEPT_SECONDS * 1_000_000


class Told(Protocol):
    """Hear what became of a record."""

    def __call__(self, *, is_durable: bool) -> None:
        """Called on the event loop."""


class _Entry(NamedTuple):
    """A record that waits for the disk."""

    occurred_at_us: int
    encoded: bytes
    answer: KeptAnswer | None
    told: Told


def _tell_nobody_of(*, is_durable: bool) -> None:
    """Stand where nobody wants to hear of a record."""


class Journal:
    """Make usage records durable, many with one fsync.

    Invariant: no record is written with a time before the last `watermark`, so whoever has seen
    the ledger up to there has seen all of it. Concurrency: one event loop, and one thread that
    owns the writing.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int,
        max_answer_bytes: int = 256 * 1024 * 1024,
        max_batch: int = 256,
        max_waiting: int = 8192,
        now_us: Callable[[], int] = wall_clock_us,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Build a journal that `open` opens.

        Args:
            path: the SQLite file; `.lock`, `-wal` and `-shm` stand beside it.
            max_bytes: bound on undelivered records; at it `ensure_writable` refuses.
            max_answer_bytes: bound on the answers that are kept here.
            max_batch: records that share a commit at most.
            max_waiting: records that may wait for the next commits.
            now_us: wall clock in microseconds since the epoch.
            monotonic: clock of the probe in seconds.
        """
        self.path = path
        self._file = SegmentFile(path)
        self._now_us = now_us
        self._monotonic = monotonic
        self._flushes = Coalescer[_Entry, None](
            self._flush, max_batch=max_batch, max_waiting=max_waiting
        )
        self._thread: WriterThread | None = None
        self._held_bytes = 0
        self._floor_us = 0
        self._is_open = False
        self._failure: str | None = None
        self._damage: JournalDamaged | None = None
        self._failed_size = 0
        self._probed_at = 0.0
        self._is_probing = False
        self.max_bytes = max_bytes
        self.answers = AnswerRoom(max_answer_bytes)
        """What the answers take that are kept here."""
        self.on_write: Callable[[int, float], None] = _tell_nobody
        """Told of each write: its records, and its seconds with the fsync."""

    @property
    def journal_id(self) -> str:
        """The name of this file in the ledger, the same until `rename`."""
        return self._file.journal_id

    @property
    def position(self) -> int:
        """The last position that was ever written here, as far as the file knows."""
        return self._file.position

    @property
    def discarded_through(self) -> int:
        """The last position that was let go of, since a ledger had taken it."""
        return self._file.discarded_through

    @property
    def held_bytes(self) -> int:
        """How much is held that is not known to be in the ledger."""
        return self._held_bytes

    @property
    def is_writable(self) -> bool:
        """Whether `ensure_writable` would pass."""
        is_well = self._failure is None and self._damage is None
        return self._is_open and is_well and self._held_bytes < self.max_bytes

    async def open(self) -> None:
        """Lock and open the file, with whatever an earlier run left in it.

        Raises:
            JournalInUse: another process holds it.
            JournalDamaged: it is not what was written.
            JournalUnavailable: it cannot be opened.
        """
        self._file.open()
        self._thread = WriterThread("usage-journal")
        try:
            self._held_bytes = await self._thread.run(self._file.held)
            self.answers.add(await self._thread.run(self._file.held_answers))
        except sqlite3.Error as error:
            await self.close()
            raise self._failed("opening", error) from error
        self._is_open = True

    async def rename(self) -> None:
        """Become another journal for the ledger, with everything that is held.

        Raises:
            JournalUnavailable: the file cannot be written; the name is the old one.
        """
        try:
            await self._open_thread().run(self._file.rename)
        except (sqlite3.Error, OSError) as error:
            raise self._failed("renaming", error) from error

    async def close(self) -> None:
        """Finish what waits, then close the file; undelivered records stay in it."""
        if self._thread is None:
            return
        self._is_open = False
        await self._flushes.drain()
        await self._thread.run(self._file.close)
        self._thread.stop()
        self._thread = None

    def stamp(self) -> int:
        """Return the time for a record that is made now; it never falls before a `watermark`."""
        return max(self._now_us(), self._floor_us)

    async def record(
        self,
        record: UsageRecord,
        answer: KeptAnswer | None = None,
        *,
        told: Told = _tell_nobody_of,
    ) -> None:
        """Write a record and return when it is on disk, and with it its answer if it is kept.

        `told` hears whether it is, at least once, and the first word is true; it may come later
        than this returns where the caller leaves while the record is being written.

        Raises:
            JournalUnavailable: it is not on disk, so no answer may leave.
        """
        if record.occurred_at_us < self._floor_us:
            record = record._replace(occurred_at_us=self._floor_us)
        entry = _Entry(record.occurred_at_us, orjson.dumps(tuple(record)), answer, told)
        is_durable = False
        try:
            await self._submit(entry)
            is_durable = True
        finally:
            if not is_durable and not self._flushes.is_under_way(entry):
                told(is_durable=False)

    def _submit(self, entry: _Entry) -> "Future[None]":
        if not self._is_open:
            raise JournalUnavailable("the journal is not open")
        try:
            flushed = self._flushes.submit(entry)
        except CoalescerFull:
            raise JournalUnavailable("too many records wait for the disk") from None
        if entry.answer is not None:
            entry.answer.follow(flushed)
        return flushed

    def ensure_writable(self) -> None:
        """Pass if a record made now can be expected to become durable; call it before computing.

        Raises:
            JournalUnavailable: the last write failed, or the bound on undelivered records is
                reached. A failed journal is probed, at most once a second, and heals by itself.
            JournalDamaged: the file is not what was written.
        """
        if self.is_writable:
            return
        if self._damage is not None:
            raise JournalDamaged(self._damage.path, self._damage.damage)
        self.probe()
        raise JournalUnavailable(self._failure or "the journal is closed, or full until delivered")

    def probe(self) -> None:
        """Try a write in the background if the last one failed, at most once a second."""
        if not self._is_open or self._failure is None or self._is_probing:
            return
        if self._monotonic() - self._probed_at < _PROBE_SECONDS:
            return
        self._is_probing = True
        self._open_thread().submit(partial(self._file.probe, self._failed_size), self._probed)

    @property
    def oldest_pending_us(self) -> int | None:
        """The earliest time of a record that is being written; None when there is none."""
        return min((entry.occurred_at_us for entry in self._flushes.pending()), default=None)

    def watermark(self) -> int:
        """Promise a moment: every record before it is readable here now or was discarded.

        Later records are held to it, so that it stays true when the wall clock is set back.
        """
        oldest_us = self.oldest_pending_us
        now_us = self._now_us()
        mark_us = now_us if oldest_us is None else min(now_us, oldest_us)
        self._floor_us = max(self._floor_us, mark_us)
        return self._floor_us

    def keep_after(self, moment_us: int) -> None:
        """Hold all later records to a moment that was promised to readers elsewhere."""
        self._floor_us = max(self._floor_us, moment_us)

    async def read(self, after: int, limit: int) -> Segments | None:
        """Return up to `limit` durable segments past a position; None when there is none.

        Raises:
            JournalDamaged: a segment is not what was written; nothing is billed of it, and no
                record is taken any more.
            JournalUnavailable: the file cannot be read.
        """
        try:
            return await to_thread(self._file.read, after, limit)
        except (sqlite3.Error, JournalDamaged) as error:
            raise self._failed("reading", error) from error

    async def discard(self, through: int) -> None:
        """Forget the segments up to a position, which the ledger has taken.

        Raises:
            JournalUnavailable: the file cannot be written; they will be discarded another time.
        """
        try:
            self._held_bytes -= await self._open_thread().run(partial(self._file.discard, through))
        except (sqlite3.Error, OSError) as error:
            raise self._failed("discarding", error) from error

    async def forget_expired(self) -> None:
        """Give the room of the answers free that were kept for their day, a few in each commit.

        Raises:
            JournalUnavailable: the file cannot be written; they will be dropped another time.
        """
        is_more = self.answers.held_bytes > 0
        while is_more:
            forget = partial(self._file.forget_expired, self._now_us())
            try:
                freed = await self._open_thread().run(forget)
            except (sqlite3.Error, OSError) as error:
                raise self._failed("forgetting answers", error) from error
            self.answers.free(freed)
            is_more = len(freed) == MOST_FORGOTTEN

    async def first_expiry_us(self) -> int | None:
        """Return when the next answer is to be forgotten; None where none is kept.

        Raises:
            JournalUnavailable: the file cannot be read.
        """
        try:
            return await self._open_thread().run(self._file.first_expiry)
        except sqlite3.Error as error:
            raise self._failed("reading answers", error) from error

    def _flush(self, batch: list[_Entry]) -> "Future[Sequence[None]]":
        """Hand one segment to the thread."""
        trip: Future[Sequence[None]] = get_running_loop().create_future()
        text = b",".join([entry.encoded for entry in batch]).decode()
        rows = [
            Row(entry.answer, entry.occurred_at_us + _KEPT_US)
            for entry in batch
            if entry.answer is not None
        ]
        for answer, _ in rows:
            answer.is_travelling = True

        def land(written: tuple[float, Freed] | None, error: Exception | None) -> None:
            if written is not None:
                seconds, freed = written
                self._failure = None
                self.on_write(len(batch), seconds)
                self._held_bytes += len(text)
                if rows:
                    self.answers.add((answer.tenant_id, answer.size) for answer, _ in rows)
                    self.answers.free(freed)
                trip.set_result([None] * len(batch))
            elif error is not None:
                size = len(text) + sum(answer.size for answer, _ in rows)
                self._fail(f"writing: {error}", size)
                trip.set_exception(self._failed("writing", error))
            for entry in batch:
                entry.told(is_durable=written is not None)
            for answer, _ in rows:
                answer.land()

        self._open_thread().submit(partial(self._append, text, len(batch), rows), land)
        return trip

    def _append(self, text: str, record_count: int, rows: list[Row]) -> tuple[float, Freed]:
        """Write a segment, in the thread; return how many seconds the disk took, and what it freed.

        Answers come in a transaction of several statements; a segment alone is quicker in one.
        """
        began = time.perf_counter()
        freed: Freed = []
        try:
            if rows:
                freed = self._file.append_with_answers(text, record_count, rows)
            else:
                self._file.append(text, record_count)
        except sqlite3.Error:
            self._file.write_over()
            raise
        return time.perf_counter() - began, freed

    def _failed(self, doing: str, error: Exception) -> JournalUnavailable:
        """Say what an error of the file means, and take no more records into a damaged one."""
        failure = error if isinstance(error, JournalDamaged) else self._file.failure(error, doing)
        if isinstance(failure, JournalDamaged) and self._damage is None:
            self._damage = failure
            logger.error("%s", failure)
        return failure

    def _fail(self, failure: str, size: int) -> None:
        self._failure = failure
        self._failed_size = size
        self._probed_at = self._monotonic()

    def _probed(self, _: None, error: Exception | None) -> None:
        self._is_probing = False
        if error is None:
            self._failure = None
        else:
            self._fail(f"probing: {error}", self._failed_size)

    def _open_thread(self) -> WriterThread:
        if self._thread is None:
            raise JournalUnavailable("the journal is not open")
        return self._thread


def _tell_nobody(_records: int, _seconds: float) -> None:
    """Stand where nobody wants to know of a write."""
