"""A journal that was put back from a copy loses nothing, and says what it cannot bill."""

import contextlib
import logging
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update

from gateway.usage.journal import Journal
from gateway.usage.ledger import Ledger
from gateway.usage.segment_file import Segments
from gateway.usage.shipper import Shipper
from gateway.usage.tables import usage_journals
from tests.unit.gateway.usage.conftest import START_US, Bill, Clock, record_of
from tests.unit.gateway.usage.test_shipper import MINUTE_US, complete_through, crash, opened


def copy(source: Path, target: Path) -> None:
    """Copy a journal as a backup would."""
    with (
        contextlib.closing(sqlite3.connect(source)) as origin,
        contextlib.closing(sqlite3.connect(target)) as destination,
    ):
        origin.backup(destination)


async def close(shipper: Shipper, journal: Journal) -> None:
    """End as a server does."""
    await shipper.close()
    await journal.close()


async def life(bill: Bill, *names: str, copied_to: str = "", is_crash: bool = False) -> str:
    """Serve some requests, one commit each, deliver them, and return the journal's id."""
    journal, shipper = await opened(bill)
    for name in names:
        await journal.record(record_of(name))
    await shipper.ship()
    if copied_to:
        copy(bill.path / "journal.db", bill.path / copied_to)
    await (crash if is_crash else close)(shipper, journal)
    return journal.journal_id


def restore(bill: Bill, copied_to: str) -> None:
    """Put an older copy in the place of the journal."""
    for suffix in ("-wal", "-shm"):
        (bill.path / f"journal.db{suffix}").unlink(missing_ok=True)
    copy(bill.path / copied_to, bill.path / "journal.db")


async def names_in(bill: Bill) -> list[str]:
    """Return the request ids in the ledger."""
    return [record.request_id for record in await bill.records()]


async def test_older_copy_of_the_journal_skips_nothing(bill: Bill) -> None:
    """Positions that the ledger has seen come again, with records that it has not."""
    await life(bill, "a", copied_to="copy.db")
    await life(bill, "b", "c", "d")
    restore(bill, "copy.db")
    await life(bill, "e", "f")
    await life(bill, "g")
    assert await names_in(bill) == ["a", "b", "c", "d", "e", "f", "g"]


async def test_older_copy_takes_a_new_id_for_good(
    bill: Bill, caplog: pytest.LogCaptureFixture
) -> None:
    """The id is kept in the file, and the change is told once."""
    caplog.set_level(logging.WARNING)
    first = await life(bill, "a", copied_to="copy.db")
    assert await life(bill, "b") == first
    restore(bill, "copy.db")
    second = await life(bill, "c")
    assert await life(bill, "d") == second != first
    assert [entry.message.count("older copy") for entry in caplog.records] == [1]


async def test_what_an_older_copy_holds_is_delivered(bill: Bill) -> None:
    """Records that the copy alone has are not lost, and the others are not billed twice."""
    journal, shipper = await opened(bill)
    await journal.record(record_of("a"))
    await shipper.ship()
    await journal.record(record_of("b"))
    copy(bill.path / "journal.db", bill.path / "copy.db")
    await close(shipper, journal)
    await life(bill, "c", "d")
    restore(bill, "copy.db")
    await life(bill)
    assert await names_in(bill) == ["a", "b", "c", "d"]


async def test_abandoned_id_holds_no_promise_back(bill: Bill, clock: Clock) -> None:
    """The journal that crashed under it will never deliver again."""
    await life(bill, "a", copied_to="copy.db")
    await life(bill, "b", is_crash=True)
    restore(bill, "copy.db")
    clock.wall_us += MINUTE_US
    await life(bill, "c")
    assert await complete_through(bill) == START_US + MINUTE_US


async def test_copy_that_went_on_elsewhere_skips_nothing(bill: Bill) -> None:
    """It ends past the ledger's position, and its positions mean other records all the same."""
    await life(bill, "a", copied_to="copy.db")
    await life(bill, "b", "c")
    restore(bill, "copy.db")
    elsewhere = bill.journal()
    await elsewhere.open()
    for name in ("d", "e", "f", "g"):
        await elsewhere.record(record_of(name))
    await elsewhere.close()
    await life(bill)
    assert await names_in(bill) == ["a", "b", "c", "d", "e", "f", "g"]


async def test_empty_journal_keeps_its_position_in_the_ledger(bill: Bill) -> None:
    """A start with nothing to deliver does not make the ledger forget how far it was."""
    await life(bill, "a", "b")
    await life(bill)
    async with bill.engine.connect() as connection:
        assert await connection.scalar(select(usage_journals.c.position)) == 2


async def test_other_content_under_a_known_id_is_told_and_counted(
    bill: Bill, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not billed, so somebody has to hear of it."""
    await life(bill, "a", "b")
    journal, shipper = await opened(bill)
    await journal.record(record_of("a"))
    await journal.record(record_of("b", units=5, tenant_id="ten_b"))
    await shipper.ship()
    [entry] = [entry for entry in caplog.records if entry.levelno == logging.ERROR]
    assert '"b"' in entry.message
    assert '"a"' not in entry.message
    assert shipper.conflicts == 1
    await close(shipper, journal)


async def test_known_records_are_no_conflict(bill: Bill, caplog: pytest.LogCaptureFixture) -> None:
    """A delivery that is made again is ordinary."""
    text = '["r",1794700800000000,"t","k","m","1","v1",1,1,true,0,0,0,0]'
    ledger = Ledger(bill.engine)
    for _ in range(2):
        segments = Segments(1, 1, f"[{text}]", 1)
        assert await ledger.take("j", segments, position=1, complete_through_us=0) == 0
    assert not caplog.records


async def test_journal_that_never_comes_back_holds_a_lone_one_not_back(
    bill: Bill, clock: Clock
) -> None:
    """A database that was restored without its journals knows one that will not leave."""
    await life(bill, "a", is_crash=True)
    clock.wall_us += MINUTE_US
    journal = bill.journal(name="new.db")
    await journal.open()
    shipper = bill.shipper(journal, is_alone=True)
    await shipper.start()
    assert await complete_through(bill) == START_US + MINUTE_US
    await close(shipper, journal)


async def test_older_ledger_is_told_of_what_it_misses_once(
    bill: Bill, caplog: pytest.LogCaptureFixture
) -> None:
    """The journal let go of it when the lost state of the ledger had taken it."""
    journal_id = await life(bill, "a", "b", "c")
    async with bill.engine.begin() as connection:
        await connection.execute(update(usage_journals).values(position=1))
    caplog.set_level(logging.WARNING)
    journal, shipper = await opened(bill)
    await close(shipper, journal)
    assert await life(bill, "d") == journal_id
    [told] = [entry.getMessage() for entry in caplog.records]
    assert f"it has journal {journal_id} up to segment 1, and 2 to 3 are gone" in told
    assert shipper.missing_segments == 2
    assert (await names_in(bill))[-1] == "d"


async def test_another_ledger_is_told_of_what_it_misses(bill: Bill) -> None:
    """A journal that was never heard of may have delivered before."""
    await life(bill, "a")
    async with bill.engine.begin() as connection:
        await connection.execute(delete(usage_journals))
    journal, shipper = await opened(bill)
    await close(shipper, journal)
    assert shipper.missing_segments == 1


async def test_renamed_journal_misses_nothing(bill: Bill) -> None:
    """What was discarded under its old name was in the ledger."""
    await life(bill, "a", copied_to="copy.db")
    await life(bill, "b")
    restore(bill, "copy.db")
    missing = []
    for _ in range(2):
        journal, shipper = await opened(bill)
        await close(shipper, journal)
        missing.append(shipper.missing_segments)
    await life(bill, "c")
    assert (missing, await names_in(bill)) == ([0, 0], ["a", "b", "c"])
