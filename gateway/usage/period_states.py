"""Say for readers which months a range touches, and whether more can still be counted in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.usage.ledger import read_only
from gateway.usage.period_records import PeriodRecord, State, read_periods
from gateway.usage.periods import next_period, period_of
from gateway.usage.tables import usage_hours

MAX_STATES: Final = 24
"""Months that a reply tells of at most: the last ones of the range."""


@dataclass(frozen=True, slots=True)
class PeriodState:
    """How far a calendar month is: `period` is a number like 202611."""

    period: int
    state: State


async def period_states(engine: AsyncEngine, start_us: int, end_us: int) -> tuple[PeriodState, ...]:
    """Return the states of the months that a half-open range touches, the earliest first.

    Of a longer range the last `MAX_STATES` months.

    Raises:
        LedgerUnavailable: the database did not answer.
    """
    known = await read_periods(engine)
    return tuple(
        PeriodState(period, _state_of(period, known)) for period in months_between(start_us, end_us)
    )


async def list_periods(engine: AsyncEngine, *, now_us: int) -> list[PeriodRecord]:
    """Return every month that is closing or closed, and those after them up to the current one.

    Raises:
        LedgerUnavailable: the database did not answer.
    """
    known = await read_periods(engine)
    current = period_of(now_us)
    period = next_period(known[-1].period) if known else await _first_used(engine) or current
    while period <= current:
        known.append(PeriodRecord(period))
        period = next_period(period)
    return known


def months_between(start_us: int, end_us: int) -> list[int]:
    """List the periods that a half-open range touches: the last `MAX_STATES` of them."""
    last = period_of(end_us - 1)
    years = (MAX_STATES - 1) // 12 + 1
    period = max(period_of(start_us), last - 100 * years)
    months = [period]
    while months[-1] < last:
        months.append(next_period(months[-1]))
    return months[-MAX_STATES:]


async def _first_used(engine: AsyncEngine) -> int | None:
    """Return the first month that anything counts in."""
    async with read_only(engine) as connection:
        first_us = await connection.scalar(select(func.min(usage_hours.c.hour_us)))
        return None if first_us is None else period_of(first_us)


def _state_of(period: int, known: Sequence[PeriodRecord]) -> State:
    """Find a month among those that are known; nothing can count any more before the first."""
    if known and period < known[0].period:
        return "closed"
    return next((one.state for one in known if one.period == period), "open")
