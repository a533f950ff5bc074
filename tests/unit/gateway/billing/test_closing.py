"""A month is closed in order, once, and then never changes."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from gateway.usage.chain import LOT, NO_ROOT, Account, Sums
from gateway.usage.errors import (
    EarlierPeriodOpen,
    PeriodNotFound,
    PeriodNotOver,
    PeriodOpen,
    PeriodWaits,
)
from gateway.usage.period_records import read_period, read_period_text, read_periods, read_totals
from gateway.usage.period_states import PeriodState, list_periods, period_states
from gateway.usage.periods import HOUR_US
from gateway.usage.promises import forget_journal
from gateway.usage.tables import usage_records
from tests.actors import TESTER
from tests.unit.gateway.billing.conftest import (
    COPIED,
    DECEMBER,
    MIDNIGHT_US,
    NOVEMBER,
    TOTALS,
    Books,
    december,
    november,
)
from tests.unit.gateway.usage.conftest import record_of


async def test_closed_month_says_what_it_comes_to(books: Books) -> None:
    """Rows, sums and a root, by tenant and model; of test keys the records alone."""
    await books.deliver(november("a", "b", units=5) + november("c", tenant_id="ten_b", rows=3))
    await books.deliver(november("t", is_test=True) + december("d"))
    closed = await books.close()
    assert (closed.state, closed.record_count) == ("closed", 4)
    assert (closed.requests, closed.rows, closed.units) == (3, 5, 11)
    assert closed.previous_root == NO_ROOT != closed.root
    assert await read_totals(books.engine, NOVEMBER) == {
        Account("ten_a", "housing", is_test=False): Sums(2, 2, 10),
        Account("ten_b", "housing", is_test=False): Sums(1, 3, 1),
        Account("ten_a", "housing", is_test=True): Sums(1, 1, 1),
    }
    assert await books.verify() == closed


async def test_closing_once_more_changes_nothing(books: Books) -> None:
    """The same answer, and no second entry in the audit log."""
    await books.deliver(november("a"))
    closed = await books.close()
    books.clock.advance(3600)
    assert await books.close() == closed
    assert [entry.action for entry in await books.audited()] == ["period.closing", "period.close"]


async def test_what_comes_late_counts_in_the_open_month(books: Books) -> None:
    """It keeps the time that it occurred at, and the closed month stays as it is."""
    await books.deliver(november("a"))
    closed = await books.close()
    await books.deliver(november("late"))
    assert await books.sequences(NOVEMBER) == ["a"]
    assert await books.sequences(DECEMBER) == ["late"]
    row = usage_records.c
    async with books.engine.connect() as connection:
        query = select(row.occurred_at_us, row.counted_at_us).where(row.request_id == "late")
        assert (await connection.execute(query)).one() == (MIDNIGHT_US - 60_000_000, MIDNIGHT_US)
    assert await books.verify() == closed


async def test_next_month_goes_on_from_the_root(books: Books) -> None:
    """Records of December that were there before November was sealed belong to December."""
    await books.deliver(november("a") + december("x") + november("b", "c") + december("y"))
    first = await books.close()
    await books.deliver(november("late") + december("z"))
    books.clock.advance(40 * 86_400)
    await books.deliver([])
    second = await books.close(DECEMBER)
    assert (first.record_count, second.record_count) == (3, 4)
    assert second.previous_root == first.root
    assert await books.verify(DECEMBER) == second
    assert await books.verify() == first


async def test_month_without_use_is_closed_too(books: Books) -> None:
    """Its root depends on the one before, and its sums are nothing."""
    await books.deliver([])
    closed = await books.close()
    assert (closed.record_count, closed.units) == (0, 0)
    assert await books.verify() == closed


async def test_long_month_is_hashed_in_lots(books: Books) -> None:
    """Progress is told lot by lot."""
    count = 2 * LOT + 5
    for start in range(0, count, 500):
        names = [f"r{number:05}" for number in range(start, min(start + 500, count))]
        await books.deliver(november(*names))
    closed = await books.close()
    assert books.told == [0, LOT, 2 * LOT, count]
    assert (await books.verify()).record_count == closed.record_count == count


async def test_month_that_runs_is_not_closed(books: Books) -> None:
    """Nor one that has not begun."""
    with pytest.raises(PeriodNotOver):
        await books.close(DECEMBER)
    assert await read_periods(books.engine) == []


async def test_earlier_months_are_closed_first(books: Books) -> None:
    """From the first month with use on, one after the other."""
    await books.deliver([record_of("old", occurred_at_us=MIDNIGHT_US - 40 * 86_400_000_000)])
    await books.deliver(november("a"))
    with pytest.raises(EarlierPeriodOpen) as found:
        await books.close()
    assert found.value.period == 202610
    await books.close(202610)
    assert (await books.close()).record_count == 1
    with pytest.raises(PeriodNotFound):
        await books.close(202609)


async def test_journal_that_has_not_delivered_is_waited_for(books: Books) -> None:
    """Readers see that the month is closing; what the journal brings meanwhile is in it."""
    await books.deliver(november("a"))
    await books.deliver([], journal_id="behind", through_us=MIDNIGHT_US - 1)
    with pytest.raises(PeriodWaits, match="usage forget behind") as found:
        await books.close()
    assert found.value.journal_ids == ("behind",)
    states = await period_states(books.engine, MIDNIGHT_US - 1, MIDNIGHT_US + 1)
    assert states == (PeriodState(NOVEMBER, "closing"), PeriodState(DECEMBER, "open"))
    await books.deliver(november("b"), journal_id="behind", through_us=MIDNIGHT_US)
    assert (await books.close()).record_count == 2


async def test_forgotten_journal_holds_no_month_back(books: Books) -> None:
    """What it brings should it come back counts in the open month."""
    await books.deliver(november("a"))
    await books.deliver([], journal_id="lost", through_us=MIDNIGHT_US - 1)
    with pytest.raises(PeriodWaits):
        await books.close()
    await forget_journal(books.engine, "lost", now_us=books.now_us)
    assert (await books.close()).record_count == 1
    await books.deliver(november("late"), journal_id="lost")
    assert await books.sequences(DECEMBER) == ["late"]


async def test_two_who_close_at_once_close_once(books: Books) -> None:
    """Nothing is counted twice."""
    names = [f"r{number:05}" for number in range(LOT + 10)]
    await books.deliver(november(*names))
    one, other = await asyncio.gather(books.close(), books.close())
    assert one == other
    assert (await books.verify()).rows == len(names)


async def test_readers_see_what_is_closed(books: Books) -> None:
    """Before the first month that was closed nothing can count any more either."""
    await books.deliver(november("a"))
    await books.close()
    states = await period_states(books.engine, MIDNIGHT_US - 60 * 86_400_000_000, MIDNIGHT_US + 1)
    assert [(one.period, one.state) for one in states] == [
        (202610, "closed"),
        (NOVEMBER, "closed"),
        (DECEMBER, "open"),
    ]
    listed = await list_periods(books.engine, now_us=books.now_us)
    assert [(one.period, one.state) for one in listed] == [
        (NOVEMBER, "closed"),
        (DECEMBER, "open"),
    ]


async def test_list_begins_with_the_first_use(books: Books) -> None:
    """Where nothing is closed yet."""
    await books.deliver(november("a"))
    listed = await list_periods(books.engine, now_us=books.now_us)
    assert [one.period for one in listed] == [NOVEMBER, DECEMBER]


@pytest.mark.parametrize("written", ["", "2026", "202600", "202613", "196912", "2026-1", "²02611"])
def test_text_that_names_no_month_is_refused(written: str) -> None:
    """A misspelt month is never another one."""
    with pytest.raises(PeriodNotFound):
        read_period_text(written)


REFUSED = {
    "a closed record is changed": "UPDATE usage_records SET units = 0 WHERE request_id = 'a'",
    "an open record is changed": "UPDATE usage_records SET units = 0 WHERE request_id = 'x'",
    "a closed record is removed": "DELETE FROM usage_records WHERE request_id = 'a'",
    "a record is added": (
        f"INSERT INTO usage_records (sequence, request_id, {COPIED}) SELECT 99, 'new', {COPIED}"  # noqa: S608 - of constants
        " FROM usage_records WHERE request_id = 'a'"
    ),
    "the month is changed": "UPDATE usage_periods SET units = 0",
    "the month is opened": "UPDATE usage_periods SET state = 'closing'",
    "the month is removed": "DELETE FROM usage_periods",
    "a total is changed": "UPDATE usage_period_totals SET units = 0",
    "a total is removed": "DELETE FROM usage_period_totals",
    "a total is added": (
        "INSERT INTO usage_period_totals VALUES (202611, 't', 'm', false, 1, 1, 1)"
    ),
    "a checkpoint is changed": "UPDATE usage_checkpoints SET record_count = 0",
    "a checkpoint is removed": "DELETE FROM usage_checkpoints",
    "the book is opened again": "UPDATE usage_book SET open_from_us = 0",
    "numbers are given out again": "UPDATE usage_book SET last_sequence = 0",
    "hours are folded again": "UPDATE usage_book SET folded_through_us = 0",
    "what was pruned is forgotten": "UPDATE usage_book SET pruned_through_us = -1",
    "the book is removed": "DELETE FROM usage_book",
    "there is a second book": "INSERT INTO usage_book SELECT 2, 0, 0, 0, 0",
}
REFUSED |= {
    f"totals by {width} are {done}": statement.format(f"usage_{width}")
    for width in TOTALS
    for done, statement in {
        "changed": "UPDATE {} SET units = 0 WHERE period = 202611",
        "removed": "DELETE FROM {} WHERE period = 202611",
        "moved to another month": "UPDATE {} SET period = 202701 WHERE period = 202611",
        "moved here": "UPDATE {} SET period = 202611, key_id = 'k' WHERE period = 202612",
        "moved to another key": "UPDATE {} SET key_id = 'k' WHERE period = 202611",
    }.items()
}
REFUSED_TO_EMPTY = (
    *("book", "checkpoints", "period_totals", "periods", "records"),
    *TOTALS,
)


@pytest.mark.parametrize("what", REFUSED)
async def test_database_refuses_to_change_what_is_closed(books: Books, what: str) -> None:
    """Whoever runs a statement by hand is told, and everything is as it was."""
    await books.deliver(november("a", "b") + december("x"))
    await books.ledger.fold(MIDNIGHT_US + HOUR_US)
    closed = await books.close()
    with pytest.raises(DBAPIError, match=r"never changed|only goes on"):
        await books.run(REFUSED[what])
    assert await books.verify() == closed


@pytest.mark.parametrize("name", REFUSED_TO_EMPTY)
async def test_no_table_is_emptied(books: Books, name: str) -> None:
    """PostgreSQL can remove all rows at once, past what looks at rows."""
    await books.deliver(november("a"))
    await books.ledger.fold(MIDNIGHT_US)
    await books.close()
    is_sqlite = books.engine.dialect.name == "sqlite"
    with pytest.raises(DBAPIError, match=r"never changed|only goes on"):
        await books.run(f"{'DELETE FROM' if is_sqlite else 'TRUNCATE'} usage_{name}")


async def test_hours_of_a_closed_month_are_folded_late(books: Books) -> None:
    """Days and months take them up after the month is closed, and then never change."""
    await books.deliver(november("a", "b") + december("x"))
    closed = await books.close()
    assert await books.verify() == closed
    await books.ledger.fold(MIDNIGHT_US + HOUR_US)
    assert await books.verify() == closed
    for width in TOTALS:
        with pytest.raises(DBAPIError, match="never changed"):
            await books.run(f"DELETE FROM usage_{width}")  # noqa: S608 - of constants


async def test_open_record_can_be_taken_back_by_its_transaction(books: Books) -> None:
    """A delivery with records that are there already takes its numbers back, and adds the rest."""
    await books.deliver(november("a"))
    await books.close()
    await books.deliver(november("a") + december("x"))
    assert await books.sequences(DECEMBER) == ["x"]


async def test_pruned_month_keeps_its_statement(books: Books) -> None:
    """Its records go, only once it is closed; those of the next month stay, and so do the sums."""
    await books.deliver(november("a", "b") + december("x") + november("c"))
    with pytest.raises(PeriodOpen):
        await books.store.prune(NOVEMBER, actor=TESTER, on_lot=lambda _count: None)
    closed = await books.close()
    pruned = await books.store.prune(NOVEMBER, actor=TESTER, on_lot=lambda _count: None)
    assert replace(pruned, pruned_at_us=None) == closed
    assert (await books.sequences(NOVEMBER), await books.sequences(DECEMBER)) == ([], ["x"])
    assert (await read_period(books.engine, NOVEMBER)).root == closed.root
    assert len(await read_totals(books.engine, NOVEMBER)) == 1
    books.clock.advance(40 * 86_400)
    await books.deliver([])
    await books.close(DECEMBER)
    assert (await books.verify(DECEMBER)).record_count == 1
