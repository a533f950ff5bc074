"""Send the ledger to one destination, in order, each record until it is taken or refused for good.

At least once: a position moves after the receiver's answer, so what a crash cut off is sent again
under the same id. One sender at a time works for a destination.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.delivery.destinations import AnyDestination, CloudEventsDestination
from gateway.delivery.parcels import Packed, Parcel, pack_cloud_events, pack_meter_events
from gateway.delivery.receiver import Receiver, Reply, Verdict
from gateway.errors import DeliveryFailed
from gateway.usage.deliveries import DeliveryBook, PutAside
from gateway.usage.errors import DeliveryTaken
from gateway.usage.periods import wall_clock_us
from gateway.usage.reading import LedgerRecord, RecordWish, last_sequence, read_records

LOT_RECORDS: Final = 1000
"""Records between two moves of the position at most."""

HOLD_SECONDS: Final = 5.0
"""For how long a destination is a sender's that is not heard of, beside its longest request."""

HEARD_EVERY_US: Final = 1_000_000
FIRST_PAUSE_SECONDS: Final = 0.5
MOST_PAUSE_SECONDS: Final = 60.0
_MAX_DOUBLINGS: Final = 7

logger = logging.getLogger(__name__)

Pause = Callable[[float], Awaitable[None]]


class Deliverer:
    """Send to one destination."""

    def __init__(
        self,
        engine: AsyncEngine,
        name: str,
        destination: AnyDestination,
        *,
        holder: str,
        most_tries: int | None = None,
        pause: Pause = asyncio.sleep,
    ) -> None:
        """Prepare to send.

        Args:
            engine: of the ledger.
            name: of the destination, under which its position is kept.
            destination: where to send, and how.
            holder: names this sender among others.
            most_tries: how often a parcel is sent before `DeliveryFailed`; None is for ever.
            pause: waits for so many seconds.
        """
        self.name = name
        self.destination = destination
        self.hold_seconds = destination.timeout_seconds + HOLD_SECONDS
        self.book = DeliveryBook(engine, name, holder, hold_seconds=self.hold_seconds)
        self._heard_us = 0
        self._engine = engine
        self._most_tries = most_tries
        self._pause = pause
        self.delivered = 0
        """Records that were taken since the start."""
        self.failures = 0
        """Answers since the start that mean to try again, and no answers."""
        self.put_aside = 0
        """Records since the start that cannot be sent, or were refused for good."""
        self.waiting = 0
        """Records that the ledger has and the destination had not, when last looked."""

    async def deliver(self, *, on_lot: Callable[[int], object] = lambda _: None) -> bool:
        """Send everything that is in the ledger now; False while another sender is at it.

        Raises:
            DeliveryFailed: the receiver did not take a parcel within the tries.
            DeliveryTaken: another sender took over.
            LedgerUnavailable: the database did not answer.
        """
        position = await self._claim()
        if position is None:
            return False
        through = await last_sequence(self._engine)
        self.waiting = through - position
        with ExitStack() as open_receivers:
            receivers = self._open(open_receivers)
            wish = RecordWish(is_test=False)
            limit = max(0, through - position)
            chunks = read_records(self._engine, wish, after=position, through=through, limit=limit)
            async for records in chunks:
                position = await self._send_lot(receivers, records, position)
                self.waiting = through - position
                on_lot(len(records))
        if position < through:
            await self._move(position, through, delivered=0, put_aside=[])
        self.waiting = 0
        return True

    async def send_again(self) -> int:
        """Send once more what was put aside; return how many were taken.

        Raises:
            LedgerUnavailable: the database did not answer.
        """
        taken = 0
        with ExitStack() as open_receivers:
            receivers = self._open(open_receivers)
            for one in await self.book.undelivered():
                chunks = read_records(
                    self._engine,
                    RecordWish(),
                    after=one.sequence - 1,
                    through=one.sequence,
                    limit=1,
                )
                records = [record async for chunk in chunks for record in chunk]
                if records and not await self._send(receivers, self._pack(records)):
                    await self.book.settle([one.sequence])
                    taken += 1
        return taken

    async def let_go(self) -> None:
        """Let another sender go on.

        Raises:
            LedgerUnavailable: the database did not answer.
        """
        await self.book.let_go()

    async def _claim(self) -> int | None:
        self._heard_us = wall_clock_us()
        return await self.book.claim(now_us=self._heard_us)

    async def _be_heard(self) -> None:
        """Keep the destination while it takes long.

        Raises:
            DeliveryTaken: it is another sender's by now.
        """
        if wall_clock_us() - self._heard_us > HEARD_EVERY_US and await self._claim() is None:
            raise DeliveryTaken(self.name)

    def _open(self, stack: ExitStack) -> list[Receiver]:
        """Open as many connections as may send at the same time."""
        destination = self.destination
        count = 1 if isinstance(destination, CloudEventsDestination) else destination.at_once
        receivers = [
            Receiver(destination.token, timeout_seconds=destination.timeout_seconds)
            for _ in range(count)
        ]
        for receiver in receivers:
            stack.callback(receiver.close)
        return receivers

    async def _send_lot(
        self, receivers: Sequence[Receiver], records: Sequence[LedgerRecord], position: int
    ) -> int:
        """Send some records, write down that they were sent, and return the new position."""
        put_aside = await self._send(receivers, self._pack(records))
        last = records[-1].sequence
        delivered = len(records) - len(put_aside)
        await self._move(position, last, delivered=delivered, put_aside=put_aside)
        return last

    async def _move(
        self, before: int, after: int, *, delivered: int, put_aside: Sequence[PutAside]
    ) -> None:
        await self.book.move(
            before, after, delivered=delivered, put_aside=put_aside, now_us=wall_clock_us()
        )
        self.delivered += delivered
        self.put_aside += len(put_aside)
        if put_aside:
            logger.error(
                "%d usage records are put aside, which %s does not take: %s",
                len(put_aside),
                self.name,
                "; ".join(sorted({one.reason for one in put_aside})),
            )

    def _pack(self, records: Sequence[LedgerRecord]) -> Packed:
        if isinstance(self.destination, CloudEventsDestination):
            return pack_cloud_events(self.destination, records)
        return pack_meter_events(self.destination, records)

    async def _send(self, receivers: Sequence[Receiver], packed: Packed) -> list[PutAside]:
        """Send parcels over all connections; return what is put aside."""
        waiting = list(reversed(packed.parcels))
        put_aside = list(packed.put_aside)

        async def work(receiver: Receiver) -> None:
            while waiting:
                put_aside.extend(await self._hand_over(receiver, waiting.pop()))

        try:
            async with asyncio.TaskGroup() as group:
                for receiver in receivers[: len(waiting)]:
                    group.create_task(work(receiver))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return put_aside

    async def _hand_over(self, receiver: Receiver, parcel: Parcel) -> list[PutAside]:
        """Send one parcel until there is an answer; of a refused one find who is to blame."""
        reply = await self._insist(receiver, parcel)
        if reply.verdict is Verdict.TAKEN:
            return []
        if len(parcel.records) == 1:
            return [PutAside(parcel.records[0], f"refused: {reply.reason}")]
        middle = len(parcel.records) // 2
        put_aside = []
        for half in (parcel.records[:middle], parcel.records[middle:]):
            for smaller in self._pack(half).parcels:
                put_aside += await self._hand_over(receiver, smaller)
        return put_aside

    async def _insist(self, receiver: Receiver, parcel: Parcel) -> Reply:
        """Send until the receiver says yes or no."""
        tries = 0
        while True:
            await self._be_heard()
            reply = await receiver.hand_over(parcel)
            if reply.verdict is not Verdict.AGAIN:
                return reply
            tries += 1
            self.failures += 1
            if tries == 1:
                logger.warning("%s does not take usage now: %s", self.name, reply.reason)
            if self._most_tries is not None and tries >= self._most_tries:
                raise DeliveryFailed(f"{self.name} does not take usage: {reply.reason}")
            pause = FIRST_PAUSE_SECONDS * 2 ** min(tries - 1, _MAX_DOUBLINGS)
            await self._wait(max(reply.wait_seconds, min(pause, MOST_PAUSE_SECONDS)))

    async def _wait(self, seconds: float) -> None:
        """Wait, and keep the destination meanwhile."""
        while seconds > 0:
            await self._pause(min(seconds, HOLD_SECONDS / 2))
            seconds -= HOLD_SECONDS / 2
            await self._be_heard()


def name_holder(seed: str) -> str:
    """Name a sender so that no other has the name."""
    return f"{seed}-{time.time_ns():x}"
