"""Records of closed months can be removed, and what was billed is never billed a second time."""

import pytest

from gateway.usage.conflicts import Conflict, list_conflicts
from gateway.usage.deliveries import DeliveryBook, PutAside
from gateway.usage.errors import PeriodUndelivered
from gateway.usage.reading import RecordWish, read_records
from gateway.usage.reports import UsageQuery, usage_report
from tests.actors import TESTER
from tests.unit.gateway.billing.conftest import (
    DECEMBER,
    MIDNIGHT_US,
    NOVEMBER,
    Books,
    december,
    november,
)

DAY_US = 86_400_000_000


async def prune(books: Books, period: int = NOVEMBER, *, is_forced: bool = False) -> None:
    """Remove the records of a month."""
    await books.store.prune(period, actor=TESTER, on_lot=lambda _count: None, is_forced=is_forced)


async def send(books: Books, name: str, *, through: int, refused: int = 0) -> DeliveryBook:
    """Let a destination take the records up to a number, but for one."""
    book = DeliveryBook(books.engine, name, "sender", hold_seconds=1.0)
    position = await book.claim(now_us=books.now_us)
    assert position is not None
    chunks = read_records(books.engine, RecordWish(), after=refused - 1, through=refused, limit=1)
    put_aside = [PutAside(one, "no") async for chunk in chunks for one in chunk]
    now_us = books.now_us
    await book.move(position, through, delivered=1, put_aside=put_aside, now_us=now_us)
    return book


async def billed_units(books: Books) -> int:
    """Add up the whole bill."""
    query = UsageQuery(MIDNIGHT_US - 40 * DAY_US, MIDNIGHT_US + 40 * DAY_US, "month")
    return sum(row.units for row in (await usage_report(books.engine, query)).rows)


async def test_journal_that_comes_back_after_a_prune_is_not_billed_again(books: Books) -> None:
    """What it holds of the month is kept and told once; what is of later is billed."""
    lot = november("a", "b") + december("x")
    await books.deliver(lot)
    await books.close()
    await prune(books)
    for _ in range(2):
        await books.deliver([*lot, *december("y")], journal_id="copy")
    assert await books.sequences(NOVEMBER) == []
    assert await books.sequences(DECEMBER) == ["x", "y"]
    assert await billed_units(books) == 4
    assert books.ledger.conflicts == 2
    assert await list_conflicts(books.engine) == [Conflict(one, None, "copy") for one in lot[:2]]


async def test_late_record_of_a_pruned_month_is_told_and_not_billed(books: Books) -> None:
    """Nobody can say any more whether it was billed, also of a month before that is kept."""
    await books.deliver(november("a"))
    await books.close()
    await books.deliver([*november("late"), *december("x")])
    books.clock.advance(40 * 86_400)
    await books.deliver([])
    await books.close(DECEMBER)
    await prune(books, DECEMBER)
    await books.deliver([*november("a"), *november("late")], journal_id="copy")
    assert [one.refused.request_id for one in await list_conflicts(books.engine)] == ["late"]
    assert await billed_units(books) == 3


async def test_month_that_a_destination_lacks_is_not_pruned(books: Books) -> None:
    """Whoever has all of it does not matter, nor what comes after it, nor test keys."""
    await books.deliver(november("a", "b") + december("x") + november("t", is_test=True))
    await books.close()
    await send(books, "done", through=2)
    slow = await send(books, "slow", through=1)
    with pytest.raises(PeriodUndelivered, match="usage send --to slow ") as found:
        await prune(books)
    assert found.value.destinations == ("slow",)
    assert await books.sequences(NOVEMBER) == ["a", "b", "t"]
    await slow.move(1, 2, delivered=1, put_aside=[], now_us=books.now_us)
    await prune(books)
    assert await books.sequences(NOVEMBER) == []


async def test_month_of_which_something_is_put_aside_is_not_pruned(books: Books) -> None:
    """It could never be sent again; what is put aside of other months does not matter."""
    await books.deliver(november("a", "b") + december("x"))
    await books.close()
    await send(books, "later", through=3, refused=3)
    book = await send(books, "picky", through=3, refused=2)
    with pytest.raises(PeriodUndelivered) as found:
        await prune(books)
    assert found.value.destinations == ("picky",)
    await book.settle([2])
    await prune(books)
    assert await books.sequences(NOVEMBER) == []


async def test_month_that_a_destination_lacks_is_pruned_by_force(books: Books) -> None:
    """For one that is used no more; a second run goes on without."""
    await books.deliver(november("a", "b"))
    await books.close()
    await send(books, "gone", through=0)
    await prune(books, is_forced=True)
    await prune(books)
    assert await books.sequences(NOVEMBER) == []
