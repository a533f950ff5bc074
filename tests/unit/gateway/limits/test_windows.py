"""The quota's month is the calendar's."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.windows import month_of
from gateway.usage.periods import period_bounds_us, period_of

MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(9998, 12, 31))  # noqa: DTZ001 (hypothesis wants naive bounds)


@given(moment=MOMENTS)
def test_month_agrees_with_the_periods_of_the_bill(moment: datetime) -> None:
    """Limits and usage are apart in code and must not be in the calendar."""
    moment_us = int(moment.replace(tzinfo=UTC).timestamp()) * 1_000_000
    month = month_of(moment_us)
    assert month.period == period_of(moment_us) == moment.year * 100 + moment.month
    assert (month.start_us, month.end_us) == period_bounds_us(month.period)
    assert month.start_us <= moment_us < month.end_us


@pytest.mark.parametrize(
    ("moment", "period"),
    [
        (datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), 202612),
        (datetime(2027, 1, 1, tzinfo=UTC), 202701),
        (datetime(2028, 2, 29, tzinfo=UTC), 202802),
    ],
)
def test_month_turns_at_midnight(moment: datetime, period: int) -> None:
    """The last microsecond of a year is in the old one."""
    moment_us = int(moment.timestamp()) * 1_000_000 + moment.microsecond
    assert month_of(moment_us).period == period
