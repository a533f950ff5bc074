"""An answer whose caller leaves while it is written is marked, if it is on the bill at all."""

import asyncio
from typing import cast

import pytest

from gateway.dataplane.recorder import Recorder
from gateway.usage.answers import KeptAnswer
from gateway.usage.errors import JournalUnavailable
from gateway.usage.journal import Journal, Told
from gateway.usage.record import UsageRecord
from inference.compute_account import ComputeAccount, ComputeBill
from tests.receipt_books import usage as usage_record


class HeldJournal:
    """A journal whose disk takes as long as the test wants."""

    def __init__(self) -> None:
        self.written: list[UsageRecord] = []
        self._waiting: list[tuple[UsageRecord, Told, asyncio.Future[None]]] = []

    def stamp(self) -> int:
        """Give a moment."""
        return 1_700_000_000_000_000

    async def record(
        self,
        record: UsageRecord,
        _answer: KeptAnswer | None = None,
        *,
        told: Told = lambda *, is_durable: None,  # noqa: ARG005 - nobody listens
    ) -> None:
        """Wait for the disk."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((record, told, future))
        await future

    def land(self, *, is_durable: bool = True) -> None:
        """Let the disk finish what waits."""
        waiting, self._waiting = self._waiting, []
        for record, told, future in waiting:
            if is_durable:
                self.written.append(record)
            told(is_durable=is_durable)
            if future.done():
                continue
            if is_durable:
                future.set_result(None)
            else:
                future.set_exception(JournalUnavailable("no space left"))


async def recording(journal: HeldJournal, usage: UsageRecord) -> tuple[asyncio.Task[None], object]:
    """Begin to write a record."""
    account = ComputeAccount()
    account.note_run(1000, [1000])
    recorder = Recorder(cast("Journal", journal))
    task = asyncio.create_task(recorder.record(usage, None, ComputeBill(account, 1000)))
    await asyncio.sleep(0)
    return task, recorder


async def test_answer_is_on_the_bill_when_the_disk_has_it() -> None:
    """And nothing marks it."""
    journal, usage = HeldJournal(), usage_record("one")
    task, _ = await recording(journal, usage)
    assert not task.done()
    journal.land()
    await task
    journal.land()
    assert journal.written == [usage]


@pytest.mark.parametrize("is_durable", [True, False])
async def test_caller_that_leaves_meanwhile_is_remembered(*, is_durable: bool) -> None:
    """The mark follows the record, and where there is none, there is no mark."""
    journal, usage = HeldJournal(), usage_record("one")
    task, _recorder = await recording(journal, usage)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    journal.land(is_durable=is_durable)
    await asyncio.sleep(0)
    journal.land()
    marks = [(record.outcome, record.corrects) for record in journal.written]
    assert marks == ([("ok", ""), ("lost", usage.request_id)] if is_durable else [])


async def test_caller_that_leaves_when_the_disk_has_it_is_marked_at_once() -> None:
    """The word was heard already, and the caller had not."""
    journal, usage = HeldJournal(), usage_record("one")
    task, _recorder = await recording(journal, usage)
    journal.land()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    journal.land()
    assert [record.outcome for record in journal.written] == ["ok", "lost"]
