"""A close that dies anywhere is gone on with: at every statement, and at every commit.

What a process leaves behind is what it committed, so these are all the moments that differ.
"""

import contextlib
from collections.abc import Iterator

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.usage.chain import LOT
from gateway.usage.period_records import read_period, read_periods
from gateway.usage.periods import next_period, period_bounds_us
from gateway.usage.record import UsageRecord
from tests.unit.gateway.billing.conftest import NOVEMBER, Books
from tests.unit.gateway.usage.conftest import record_of

MAX_STEPS = 200


class Died(Exception):
    """Stands for the end of the process."""


@contextlib.contextmanager
def dying(engine: AsyncEngine, *, after: int) -> Iterator[None]:
    """Let whoever works on the database die before its next step but so many."""
    left = after

    def burn(*_anything: object) -> None:
        nonlocal left
        if left == 0:
            raise Died
        left -= 1

    events = ("before_cursor_execute", "commit")
    for name in events:
        event.listen(engine.sync_engine, name, burn)
    try:
        yield
    finally:
        for name in events:
            event.remove(engine.sync_engine, name, burn)


def of(period: int, *names: str) -> list[UsageRecord]:
    """Make records of the last moments of a month."""
    end_us = period_bounds_us(period)[1]
    return [record_of(f"{period}-{name}", occurred_at_us=end_us - 1) for name in names]


async def fill(books: Books, period: int) -> None:
    """Deliver records of a month in several lots, and some of the next among them."""
    following = next_period(period)
    books.clock.now = books.clock.now.fromtimestamp(
        period_bounds_us(period)[1] / 1e6 + 60, tz=books.clock.now.tzinfo
    )
    for name in "abc":
        await books.deliver(of(period, name) + of(following, f"early-{name}"))
        await books.run("UPDATE usage_book SET last_sequence = last_sequence + :gap", gap=LOT)


async def close_and_die(books: Books, period: int, *, after: int) -> bool:
    """Close a month and die after so many steps; return whether it got that far."""
    with contextlib.suppress(Died), dying(books.engine, after=after):
        await books.close(period)
        return False
    return True


@pytest.mark.parametrize("stride", [6, pytest.param(1, marks=pytest.mark.soak)])
async def test_close_that_died_at_any_step_is_gone_on_with(books: Books, stride: int) -> None:
    """A month for each step: what came late is counted once, and the chain is whole.

    Every sixth step, and in the long run every one.
    """
    period, step, deaths = NOVEMBER, 0, 0
    await fill(books, period)
    while await close_and_die(books, period, after=step):
        before = await read_period(books.engine, period)
        await books.deliver(of(period, "late"))
        closed = await books.close(period)
        assert await books.verify(period) == closed
        is_late = f"{period}-late" not in await books.sequences(period)
        assert is_late == (before.sealed_at_us is not None), step
        period, step, deaths = next_period(period), step + stride, deaths + 1
        assert step < MAX_STEPS
        await fill(books, period)
    months = await read_periods(books.engine)
    assert [one.state for one in months] == ["closed"] * len(months)
    assert deaths > 5
    assert sum(one.rows or 0 for one in months) == 3 + 7 * deaths
    closings = [entry.target for entry in await books.audited() if entry.action == "period.close"]
    assert closings == [str(one.period) for one in months]
