"""Cut a range of time into pieces, each read from the table with the fewest rows that fits it."""

from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import Column, Table

from gateway.usage.periods import DAY_US, HOUR_US, next_period, period_of, period_start_us
from gateway.usage.tables import usage_days, usage_hours, usage_months, usage_records

Bucket = Literal["hour", "day", "month"]

WIDTHS_US: Final = {"hour": HOUR_US, "day": DAY_US}
_RECORDS, _HOURS, _DAYS, _MONTHS = range(4)
_COARSEST: Final = {"hour": _HOURS, "day": _DAYS, "month": _MONTHS}


class Piece(NamedTuple):
    """A half-open range of one table's column of time: of periods for months, else microseconds."""

    table: Table
    column: Column[Any]
    start: int
    end: int


class Pieces:
    """Cover ranges without overlap.

    Whole months come from their totals where buckets are months, then whole days where they are
    days or months, then whole hours; what is left at either end is read record by record. Days and
    months hold what counts before `folded_through_us` and nothing after it, so a day or a month
    that is not over is read up to there as if it were whole.
    """

    def __init__(self, bucket: Bucket, folded_through_us: int) -> None:
        self._coarsest = _COARSEST[bucket]
        self._folded_through_us = folded_through_us

    def of(self, start_us: int, end_us: int) -> list[Piece]:
        """Cover a range."""
        return self._cut(start_us, end_us, self._coarsest)

    def _cut(self, start_us: int, end_us: int, level: int) -> list[Piece]:
        """Take the middle from this level's table, and both ends from the finer ones."""
        if start_us >= end_us:
            return []
        if level == _RECORDS:
            return [Piece(usage_records, usage_records.c.counted_at_us, start_us, end_us)]
        first_us, last_us = self._inner(start_us, end_us, level)
        if not start_us <= first_us < last_us:
            return self._cut(start_us, end_us, level - 1)
        return [
            *self._cut(start_us, first_us, level - 1),
            _whole(first_us, last_us, level),
            *self._cut(last_us, end_us, level - 1),
        ]

    def _inner(self, start_us: int, end_us: int, level: int) -> tuple[int, int]:
        """Return where the part of a range begins and ends that a level's table can answer."""
        is_folded = level != _HOURS
        if is_folded and end_us >= self._folded_through_us:
            return _boundary_after(start_us, end_us, level), self._folded_through_us
        return _boundary_after(start_us, end_us, level), _boundary_before(end_us, level)


def _boundary_after(start_us: int, end_us: int, level: int) -> int:
    """Return the first beginning of an hour, a day or a month, as far as the range reaches."""
    if level != _MONTHS:
        width_us = HOUR_US if level == _HOURS else DAY_US
        return -(-start_us // width_us) * width_us
    period = period_of(start_us)
    if period_start_us(period) < start_us and period < period_of(end_us):
        period = next_period(period)
    return period_start_us(period)


def _boundary_before(end_us: int, level: int) -> int:
    if level == _MONTHS:
        return period_start_us(period_of(end_us))
    width_us = HOUR_US if level == _HOURS else DAY_US
    return end_us // width_us * width_us


def _whole(first_us: int, last_us: int, level: int) -> Piece:
    if level == _MONTHS:
        last = next_period(period_of(last_us - 1))
        return Piece(usage_months, usage_months.c.period, period_of(first_us), last)
    if level == _DAYS:
        return Piece(usage_days, usage_days.c.day_us, first_us, last_us)
    return Piece(usage_hours, usage_hours.c.hour_us, first_us, last_us)
