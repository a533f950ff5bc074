"""Read rows of the ledger as a reconciliation compares them."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.usage.ledger import read_only
from gateway.usage.periods import period_bounds_us
from gateway.usage.tables import usage_records

_CHUNK: Final = 10_000


class LedgerRow(NamedTuple):
    """One row; the fields are columns of their names."""

    request_id: str
    occurred_at_us: int
    tenant_id: str
    model: str
    version: str
    rows: int
    units: int
    outcome: str
    corrects: str


async def read_range(
    engine: AsyncEngine, *, start_us: int, end_us: int
) -> AsyncIterator[Sequence[LedgerRow]]:
    """Read what occurred in a half-open range, in lots; a row counts no sooner than it occurred.

    Raises:
        LedgerUnavailable: the database did not answer.
    """
    table = usage_records.c
    within = (table.occurred_at_us >= start_us) & (table.occurred_at_us < end_us)
    statement = _selected().where(within, table.counted_at_us >= start_us)
    async with read_only(engine) as connection:
        found = await connection.stream(statement, execution_options={"yield_per": _CHUNK})
        async for rows in found.partitions():
            yield [LedgerRow(*row) for row in rows]


async def read_ids(engine: AsyncEngine, request_ids: Sequence[str]) -> list[LedgerRow]:
    """Read the rows of these ids that there are.

    Raises:
        LedgerUnavailable: the database did not answer.
    """
    statement = _selected().where(usage_records.c.request_id.in_(request_ids))
    async with read_only(engine) as connection:
        return [LedgerRow(*row) for row in await connection.execute(statement)]


async def month_corrections(engine: AsyncEngine, period: int) -> dict[str, int]:
    """Add up, by tenant, the units that corrections of a period give back or add.

    No limiter ever counted them.

    Raises:
        LedgerUnavailable: the database did not answer.
    """
    table = usage_records.c
    start_us, end_us = period_bounds_us(period)
    statement = (
        select(table.tenant_id, func.sum(table.units))
        .where(table.counted_at_us >= start_us, table.counted_at_us < end_us)
        .where(table.corrects != "", table.is_test.is_(False))
        .group_by(table.tenant_id)
    )
    async with read_only(engine) as connection:
        found = (await connection.execute(statement)).all()
    return {tenant_id: int(units) for tenant_id, units in found}


def _selected() -> Select[Any]:
    return select(*(usage_records.c[name] for name in LedgerRow._fields))
