"""Calendar months and report buckets in UTC, as integers of microseconds since the epoch.

A period is a calendar month written as a number: 202611 is November 2026.
"""

import time
from datetime import UTC, datetime

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
_SECOND_US = 1_000_000


def wall_clock_us() -> int:
    """Read the wall clock in microseconds since the epoch."""
    return time.time_ns() // 1000


def period_of(moment_us: int) -> int:
    """Return the period that a moment falls into.

    Raises:
        ValueError: the moment is outside the calendar (years 1 to 9999).
    """
    try:
        moment = datetime.fromtimestamp(moment_us // _SECOND_US, UTC)
    except (OverflowError, OSError) as error:
        raise ValueError("outside the calendar") from error
    return moment.year * 100 + moment.month


def period_start_us(period: int) -> int:
    """Return the first microsecond of a period."""
    year, month = divmod(period, 100)
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * _SECOND_US


def next_period(period: int) -> int:
    """Return the period after this one."""
    return period + 89 if period % 100 == 12 else period + 1  # noqa: PLR2004


def period_bounds_us(period: int) -> tuple[int, int]:
    """Return the half-open range of a period: its first microsecond and that of the next."""
    return period_start_us(period), period_start_us(next_period(period))
