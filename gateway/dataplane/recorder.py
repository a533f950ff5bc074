"""Have answers on the bill, and mark those whose callers left before they had them."""

from asyncio import CancelledError, Task, create_task
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from gateway.dataplane.engine_bill import settle
from gateway.usage.answers import KeptAnswer
from gateway.usage.errors import JournalUnavailable
from gateway.usage.journal import Journal
from gateway.usage.record import UsageRecord, lost_mark
from inference.compute_account import ComputeBill


class Recorder:
    """Write the records of one server's answers. For one event loop."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._marking: set[Task[None]] = set()

    async def record(self, usage: UsageRecord, kept: KeptAnswer | None, bill: ComputeBill) -> None:
        """Write a record and return when it is on disk, and with it its answer if it is kept.

        The journal's word settles `bill`. Where the caller is cancelled meanwhile, the answer is
        marked as lost as soon as it is known that it is on the bill.

        Raises:
            JournalUnavailable: it is not on disk, so no answer may leave.
        """
        word = _Word(bill)
        try:
            await self._journal.record(usage, kept, told=word)
        except CancelledError:
            word.caller_left(partial(self.mark_soon, usage))
            raise

    async def mark_lost(self, usage: UsageRecord) -> None:
        """Write down that nobody was there any more when an answer that is billed was sent.

        The record stays on the bill: the model ran, and its caller may have it all the same.
        """
        with suppress(JournalUnavailable):
            await self._journal.record(lost_mark(usage, occurred_at_us=self._journal.stamp()))

    def mark_soon(self, usage: UsageRecord) -> None:
        """Do the same where nobody can wait for it."""
        task = create_task(self.mark_lost(usage))
        self._marking.add(task)
        task.add_done_callback(self._marking.discard)


class _Word:
    """What the journal says of one record; its first word is true."""

    __slots__ = ("_bill", "_is_durable", "_mark")

    def __init__(self, bill: ComputeBill) -> None:
        self._bill = bill
        self._is_durable: bool | None = None
        self._mark: Callable[[], None] | None = None

    def __call__(self, *, is_durable: bool) -> None:
        settle(self._bill, is_durable=is_durable)
        if self._is_durable is None:
            self._is_durable = is_durable
            if is_durable and self._mark is not None:
                self._mark()

    def caller_left(self, mark: Callable[[], None]) -> None:
        """Have the answer marked, now or when it is known that it is on the bill."""
        if self._is_durable is None:
            self._mark = mark
        elif self._is_durable:
            mark()
