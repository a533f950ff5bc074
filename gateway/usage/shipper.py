"""Deliver what the journal holds to the ledger, in the background and on demand."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence

from gateway.coalescer import Coalescer
from gateway.usage.errors import LedgerUnavailable, UsageError
from gateway.usage.journal import Journal
from gateway.usage.ledger import JournalState, Ledger
from gateway.usage.periods import wall_clock_us
from gateway.usage.segment_file import Segments

_SEGMENTS_PER_TRIP = 128
_MAX_WAITING = 100_000
_MAX_PAUSE_SECONDS = 5.0
_MAX_DOUBLINGS = 10

logger = logging.getLogger(__name__)


class Shipper:
    """Move segments from one journal to the ledger, each exactly once.

    The position in the ledger moves in the transaction that takes the records, and the ledger
    ignores ids it has: a crash at any point repeats work and never a record. Whoever calls `ship`
    during a trip shares the next one.
    """

    def __init__(
        self,
        journal: Journal,
        ledger: Ledger,
        *,
        interval_seconds: float,
        is_alone: bool = False,
        now_us: Callable[[], int] = wall_clock_us,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Build a shipper that `start` starts.

        Args:
            journal: open, and delivered by nobody else.
            ledger: where the records go.
            interval_seconds: pause between two deliveries in the background.
            is_alone: no other journal delivers to this ledger.
            now_us: wall clock in microseconds since the epoch.
            pause: waits for so many seconds.
        """
        self._journal = journal
        self._ledger = ledger
        self._interval_seconds = interval_seconds
        self._is_alone = is_alone
        self._now_us = now_us
        self._pause = pause
        self._trips = Coalescer[None, None](
            self._depart, max_batch=_MAX_WAITING, max_waiting=_MAX_WAITING
        )
        self._segments_per_trip = _SEGMENTS_PER_TRIP
        self._position = 0
        self._published = 0
        self._discarded = 0
        self._complete_through_us = 0
        self._task: asyncio.Task[None] | None = None
        self.failures = 0
        """Deliveries in the background that failed since the start."""
        self.trips = 0
        """Deliveries since the start."""

    @property
    def conflicts(self) -> int:
        """Records that this process did not bill, since the ledger has others under their ids.

        Those of journals that it adopts are among them.
        """
        return self._ledger.conflicts

    @property
    def missing_segments(self) -> int:
        """Segments that an earlier state of the ledger had taken, and this one has not.

        As with conflicts, those of adopted journals are among them.
        """
        return self._ledger.missing_segments

    @property
    def complete_through_us(self) -> int:
        """The moment before which the ledger has every record of this journal."""
        return self._complete_through_us

    async def start(self) -> None:
        """Join the ledger, deliver what an earlier run left, and go on in the background.

        Call it before the first record: the ledger says which moments are promised already.

        Raises:
            LedgerUnavailable: the database did not answer.
            JournalUnavailable: the journal cannot be read.
        """
        await self._catch_up()
        self._task = asyncio.create_task(self._keep_shipping())

    async def settle(self) -> None:
        """Deliver what an earlier run left, and leave; for a journal that gets no more records.

        Raises:
            LedgerUnavailable: the database did not answer; call it again.
            JournalUnavailable: the journal cannot be read.
        """
        await self._catch_up()
        await self._ledger.leave(self._journal.journal_id)

    async def ship(self) -> None:
        """Deliver everything that was recorded before this call.

        Raises:
            LedgerUnavailable: the database did not take it; it stays in the journal.
            JournalUnavailable: the journal cannot be read.
        """
        await self._trips.submit(None)

    async def close(self) -> None:
        """Deliver the rest and leave; what cannot be delivered waits for the next start."""
        if self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._task = None
        try:
            await self.ship()
            await self._ledger.leave(self._journal.journal_id)
        except UsageError as error:
            logger.warning("usage stays in the journal until the next start: %s", error)

    async def _catch_up(self) -> None:
        """Join the ledger and deliver everything that the file holds.

        Whatever position the ledger remembers: what it has already is passed over by request id.
        """
        state = await self._join()
        self._published = state.position
        self._complete_through_us = state.complete_through_us
        self._journal.keep_after(state.floor_us)
        await self.ship()

    async def _join(self) -> JournalState:
        """Join the ledger, under a new name if the file is an older copy of what it was.

        Threat: an older copy gives out positions a second time, and the ledger would remember of
        new records that it has them. The old name leaves, since nobody can deliver for it. A crash
        on the way repeats all of it.
        """
        state = await self._join_by_name()
        if state.position <= self._journal.position:
            return state
        old_id = self._journal.journal_id
        await self._ledger.leave(old_id)
        await self._journal.rename()
        logger.warning(
            "the usage journal is an older copy: the ledger knows it up to %d, it ends at %d; "
            "all that it holds is delivered again, as %s instead of %s",
            state.position,
            self._journal.position,
            self._journal.journal_id,
            old_id,
        )
        return await self._join_by_name()

    async def _join_by_name(self) -> JournalState:
        return await self._ledger.join(
            self._journal.journal_id,
            now_us=self._now_us(),
            discarded_through=self._journal.discarded_through,
            is_alone=self._is_alone,
        )

    async def _keep_shipping(self) -> None:
        failed_in_a_row = 0
        while True:
            doublings = min(failed_in_a_row, _MAX_DOUBLINGS)
            await self._pause(min(self._interval_seconds * 2**doublings, _MAX_PAUSE_SECONDS))
            self._journal.probe()
            try:
                await self.ship()
                await self._journal.forget_expired()
                await self._ledger.fold(self._complete_through_us)
                failed_in_a_row = 0
            except UsageError as error:
                failed_in_a_row += 1
                self.failures += 1
                logger.warning("usage waits in the journal: %s", error)

    def _depart(self, waiters: list[None]) -> "asyncio.Future[Sequence[None]]":
        return asyncio.get_running_loop().create_task(self._deliver(waiters))

    async def _deliver(self, waiters: list[None]) -> Sequence[None]:
        """Read the watermark first and the journal after it, so that it promises what was read."""
        self.trips += 1
        mark_us = self._journal.watermark()
        is_behind = True
        while is_behind:
            asked = self._segments_per_trip
            segments = await self._journal.read(self._position, asked)
            is_behind = segments is not None and segments.length == asked
            position = self._position if segments is None else segments.through
            self._published = max(self._published, position)
            complete_through_us = self._complete_through_us if is_behind else mark_us
            await self._hand_over(segments, complete_through_us)
            self._position = position
            self._complete_through_us = complete_through_us
        if self._discarded < self._position:
            await self._journal.discard(self._position)
            self._discarded = self._position
        return waiters

    async def _hand_over(self, segments: Segments | None, complete_through_us: int) -> None:
        """Deliver one lot, and try with a smaller one after a failure.

        Threat: a lot that a slow database cannot take within its timeout would never get smaller,
        and nothing would be delivered any more.
        """
        try:
            await self._ledger.take(
                self._journal.journal_id,
                segments,
                position=self._published,
                complete_through_us=complete_through_us,
            )
        except LedgerUnavailable:
            self._segments_per_trip = max(1, self._segments_per_trip // 4)
            raise
        self._segments_per_trip = min(_SEGMENTS_PER_TRIP, self._segments_per_trip * 2)
