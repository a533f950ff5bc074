"""Say for readers which months a range touches, and whether more can still be counted in them."""

from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.usage.periods import next_period, period_of

State = Literal["open", "closing", "closed"]

MAX_STATES: Final = 24
"""Months that a reply tells of at most: the last ones of the range."""


@dataclass(frozen=True, slots=True)
class PeriodState:
    """How far a calendar month is: `period` is a number like 202611."""

    period: int
    state: State


async def period_states(
    _engine: AsyncEngine, start_us: int, end_us: int
) -> tuple[PeriodState, ...]:
    """Return the states of the months that a half-open range touches, the earliest first.

    Of a longer range the last `MAX_STATES` months.

    Raises:
        LedgerUnavailable: the database did not answer.
    """
    return tuple(PeriodState(period, "open") for period in months_between(start_us, end_us))


def months_between(start_us: int, end_us: int) -> list[int]:
    """List the periods that a half-open range touches: the last `MAX_STATES` of them."""
    last = period_of(end_us - 1)
    years = (MAX_STATES - 1) // 12 + 1
    period = max(period_of(start_us), last - 100 * years)
    months = [period]
    while months[-1] < last:
        months.append(next_period(months[-1]))
    return months[-MAX_STATES:]
