"""Records of closed months can be removed, and what was billed is never billed a second time."""

from gateway.usage.conflicts import Conflict, list_conflicts
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


async def prune(books: Books, period: int = NOVEMBER) -> None:
    """Remove the records of a month."""
    await books.store.prune(period, actor=TESTER, on_lot=lambda _count: None)


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
