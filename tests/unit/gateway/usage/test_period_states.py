"""Readers are told of each month that they ask about whether it can still change."""

from gateway.usage.period_states import MAX_STATES, PeriodState, months_between, period_states
from gateway.usage.periods import period_start_us
from tests.unit.gateway.usage.conftest import Bill


async def test_month_that_nobody_closed_is_open(bill: Bill) -> None:
    """Each month that the range touches is told, and not the one that begins where it ends."""
    start_us, end_us = period_start_us(202611) + 1, period_start_us(202701)
    states = await period_states(bill.engine, start_us, end_us)
    assert states == (PeriodState(202611, "open"), PeriodState(202612, "open"))


def test_only_the_last_months_of_a_long_range_are_told() -> None:
    """A reply about all time stays short."""
    months = months_between(0, period_start_us(202701))
    assert (len(months), months[-1]) == (MAX_STATES, 202612)
