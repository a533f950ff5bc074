"""Remove the records of closed months that are kept no longer; what they came to stays."""

from collections.abc import Callable
from typing import Final

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.usage.book import set_pruned, take_book
from gateway.usage.deliveries import lacking_in
from gateway.usage.errors import PeriodOpen, PeriodUndelivered
from gateway.usage.ledger import read_only, translated
from gateway.usage.period_records import PeriodRecord, period_in
from gateway.usage.period_tables import usage_checkpoints, usage_periods
from gateway.usage.tables import usage_records

LOT: Final = 10_000
_REMOVE: Final = text(
    "DELETE FROM usage_records"
    " WHERE sequence > :after AND sequence <= :through AND period = :period"
).execution_options(preserve_rowcount=True)


async def mark_pruned(
    connection: AsyncConnection, period: int, *, now_us: int, is_forced: bool
) -> tuple[PeriodRecord, PeriodRecord]:
    """Say that the records of a closed month are kept no longer; return it as it was and as it is.

    From then on they can be removed, the month cannot be verified, and what occurred before its end
    is counted no more, as nobody could tell that it was counted.

    Raises:
        PeriodOpen: it is not closed.
        PeriodUndelivered: a destination has not taken all of it, and it is not forced.
    """
    before = await period_in(connection, period)
    if before.state != "closed":
        raise PeriodOpen(period)
    if before.pruned_at_us is None:
        lacking = await lacking_in(connection, period, through=before.last_sequence or 0)
        if lacking and not is_forced:
            raise PeriodUndelivered(period, tuple(lacking))
        page = await take_book(connection, count=0)
        through_us = max(page.pruned_through_us, before.bounds_us[1])
        await set_pruned(connection, pruned_through_us=through_us)
        row = usage_periods.c.period == period
        await connection.execute(update(usage_periods).where(row).values(pruned_at_us=now_us))
    return before, await period_in(connection, period)


async def remove_records(
    engine: AsyncEngine, record: PeriodRecord, *, on_lot: Callable[[int], None]
) -> None:
    """Remove the records of a month that is marked, lot by lot; a crash repeats no more than that.

    Raises:
        LedgerUnavailable: the database did not answer; call it again.
    """
    after, last = await _first(engine, record) - 1, record.last_sequence or 0
    while after < last:
        through = min(after + LOT, last)
        place = {"after": after, "through": through, "period": record.period}
        with translated():
            async with engine.begin() as connection:
                removed = (await connection.execute(_REMOVE, place)).rowcount
        on_lot(removed)
        after = through
    with translated():
        async with engine.begin() as connection:
            points = usage_checkpoints.c.period == record.period
            await connection.execute(delete(usage_checkpoints).where(points))


async def _first(engine: AsyncEngine, record: PeriodRecord) -> int:
    """Return the first number of the month that is still there."""
    row = usage_records.c
    query = select(func.min(row.sequence)).where(row.sequence > record.after_sequence)
    async with read_only(engine) as connection:
        first: int | None = await connection.scalar(query)
    return (record.last_sequence or 0) + 1 if first is None else first
