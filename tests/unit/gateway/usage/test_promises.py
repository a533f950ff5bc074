"""A journal that is lost for good can be found, and forgotten, so that the bill goes on."""

import pytest

from gateway.usage.errors import JournalAlive, JournalUnknown
from gateway.usage.ledger import Ledger
from gateway.usage.promises import ALIVE_SECONDS, forget_journal, journal_promises
from tests.unit.gateway.usage.conftest import START_US, Bill, Clock, record_of
from tests.unit.gateway.usage.test_shipper import MINUTE_US, complete_through, crash

LATER_US = START_US + 2 * ALIVE_SECONDS * 1_000_000


async def lose_one_of_two(bill: Bill) -> str:
    """Crash a journal that is never seen again while another goes on; return the lost one's id."""
    lost, kept = bill.journal(name="lost.db"), bill.journal()
    for journal in (lost, kept):
        await journal.open()
    first, second = bill.shipper(lost), bill.shipper(kept)
    await first.start()
    await lost.record(record_of("r"))
    await crash(first, lost)
    await second.start()
    bill.clock.wall_us = LATER_US
    await second.close()
    await Ledger(bill.engine).join(kept.journal_id, now_us=LATER_US)
    await kept.close()
    return lost.journal_id


async def test_journal_that_holds_the_bill_back_is_first(bill: Bill) -> None:
    """The operator sees which one it is and since when."""
    lost = await lose_one_of_two(bill)
    promises = await journal_promises(bill.engine)
    assert [promise.is_holding for promise in promises] == [True, False]
    assert (promises[0].journal_id, promises[0].complete_through_us) == (lost, START_US)


async def test_forgotten_journal_holds_nobody_back(bill: Bill) -> None:
    """The bill is complete through what the others promise."""
    lost = await lose_one_of_two(bill)
    assert await complete_through(bill) == START_US
    forgotten = await forget_journal(bill.engine, lost, now_us=LATER_US)
    assert forgotten.complete_through_us == START_US
    assert await complete_through(bill) == LATER_US


async def test_forgotten_journal_that_comes_back_is_delivered(bill: Bill, clock: Clock) -> None:
    """Late, but not lost."""
    lost = await lose_one_of_two(bill)
    await forget_journal(bill.engine, lost, now_us=LATER_US)
    clock.wall_us += MINUTE_US
    journal = bill.journal(name="lost.db")
    await journal.open()
    await bill.shipper(journal).settle()
    await journal.close()
    assert [record.request_id for record in await bill.records()] == ["r"]


async def test_journal_that_is_delivered_cannot_be_forgotten(bill: Bill, clock: Clock) -> None:
    """Or readers would be promised what is still to come."""
    journal = bill.journal()
    await journal.open()
    shipper = bill.shipper(journal)
    await shipper.start()
    with pytest.raises(JournalAlive):
        await forget_journal(bill.engine, journal.journal_id, now_us=clock.wall_us + MINUTE_US)
    await shipper.close()
    await journal.close()


async def test_unknown_journal_is_told(bill: Bill) -> None:
    """A misspelt id changes nothing."""
    with pytest.raises(JournalUnknown):
        await forget_journal(bill.engine, "nobody", now_us=LATER_US)
