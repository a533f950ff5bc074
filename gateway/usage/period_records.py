"""Read what is known of the months that are closing or closed."""

from dataclasses import dataclass, fields
from typing import Any, Final, Literal

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.usage.chain import Account, Sums
from gateway.usage.errors import PeriodNotFound
from gateway.usage.ledger import read_only
from gateway.usage.period_tables import usage_period_totals, usage_periods
from gateway.usage.periods import period_bounds_us

State = Literal["open", "closing", "closed"]

_MAX_YEAR: Final = 9999
_MONTHS: Final = 12


@dataclass(frozen=True, slots=True)
class PeriodRecord:
    """A month as its row says it; an open one has none, and nothing but its number."""

    period: int
    state: State = "open"
    closing_at_us: int | None = None
    after_sequence: int = 0
    previous_root: str | None = None
    sealed_at_us: int | None = None
    last_sequence: int | None = None
    closed_at_us: int | None = None
    record_count: int | None = None
    requests: int | None = None
    rows: int | None = None
    units: int | None = None
    root: str | None = None
    next_after: int | None = None
    digest: str | None = None
    signature: str | None = None
    pruned_at_us: int | None = None

    @property
    def bounds_us(self) -> tuple[int, int]:
        """Return the first moment of the month and that of the next."""
        return period_bounds_us(self.period)


Totals = dict[Account, Sums]

COLUMNS: Final = tuple(usage_periods.c[field.name] for field in fields(PeriodRecord))


def read_period_text(text: str) -> int:
    """Read a month as it is written: 202611.

    Raises:
        PeriodNotFound: it is not written so, or there is no such month.
    """
    is_number = len(text) == len("202611") and text.isascii() and text.isdigit()
    year, month = divmod(int(text), 100) if is_number else (0, 0)
    if not (1970 <= year < _MAX_YEAR and 1 <= month <= _MONTHS):  # noqa: PLR2004 - as clocks do
        raise PeriodNotFound
    return int(text)


async def read_periods(engine: AsyncEngine) -> list[PeriodRecord]:
    """Return the months that are closing or closed, the earliest first.

    Raises:
        LedgerUnavailable: the database did not answer.
    """
    async with read_only(engine) as connection:
        found = await connection.execute(select(*COLUMNS).order_by(usage_periods.c.period))
        return [record_of_row(row) for row in found]


async def read_period(engine: AsyncEngine, period: int) -> PeriodRecord:
    """Return a month; one that nobody closes is open.

    Raises:
        LedgerUnavailable: the database did not answer.
    """
    async with read_only(engine) as connection:
        return await period_in(connection, period)


async def read_totals(engine: AsyncEngine, period: int) -> Totals:
    """Return the sums of a closed month, by tenant and model.

    Raises:
        LedgerUnavailable: the database did not answer.
    """
    async with read_only(engine) as connection:
        return await totals_in(connection, period)


async def period_in(connection: AsyncConnection, period: int) -> PeriodRecord:
    """Return a month within a transaction."""
    row = (await connection.execute(select(*COLUMNS).where(_is(period)))).first()
    return PeriodRecord(period) if row is None else record_of_row(row)


async def latest_in(connection: AsyncConnection) -> PeriodRecord | None:
    """Return the last month that is closing or closed."""
    latest = select(*COLUMNS).order_by(usage_periods.c.period.desc()).limit(1)
    row = (await connection.execute(latest)).first()
    return None if row is None else record_of_row(row)


async def totals_in(connection: AsyncConnection, period: int) -> Totals:
    """Return the sums of a month that is being closed, or is."""
    total = usage_period_totals.c
    found = await connection.execute(
        select(
            total.tenant_id, total.model, total.is_test, total.requests, total.rows, total.units
        ).where(total.period == period)
    )
    return {Account(*row[:3]): Sums(*row[3:]) for row in found}


def record_of_row(row: Row[Any]) -> PeriodRecord:
    """Return a month as its row says it."""
    return PeriodRecord(*row)


def _is(period: int) -> Any:  # noqa: ANN401 - a condition of SQLAlchemy
    return usage_periods.c.period == period
