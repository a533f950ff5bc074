"""The calendar month that a monthly quota counts in, UTC."""

from datetime import UTC, datetime
from typing import NamedTuple

_SECOND_US = 1_000_000
_DECEMBER = 12


class Month(NamedTuple):
    """One calendar month: its number (`202611`) and its half-open range in microseconds."""

    period: int
    start_us: int
    end_us: int


def month_of(moment_us: int) -> Month:
    """Return the month that a moment (microseconds since the epoch) falls into."""
    moment = datetime.fromtimestamp(moment_us // _SECOND_US, UTC)
    start = datetime(moment.year, moment.month, 1, tzinfo=UTC)
    end = (
        datetime(moment.year + 1, 1, 1, tzinfo=UTC)
        if moment.month == _DECEMBER
        else datetime(moment.year, moment.month + 1, 1, tzinfo=UTC)
    )
    return Month(
        period=moment.year * 100 + moment.month,
        start_us=int(start.timestamp()) * _SECOND_US,
        end_us=int(end.timestamp()) * _SECOND_US,
    )
