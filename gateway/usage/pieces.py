"""Cut a range of time into pieces, each read from the table with the fewest rows that fits it."""

from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import Column, Table

from gateway.usage.periods import DAY_US, HOUR_US, next_period, period_of, period_start_us
from gateway.usage.tables import usage_days, usage_hours, usage_months, usage_records

Bucket = Literal["hour", "day", "month"]

WIDTHS_US: Final = {"hour": HOUR_US, "day": DAY_US}
_COARSEST: Final = {"hour": 1, "day": 2, "month": 3}


class Piece(NamedTuple):
    """A half-open range of one table's column of time: of periods for months, else microseconds."""

    table: Table
    column: Column[Any]
    start: int
    end: int


def pieces_of(start_us: int, end_us: int, bucket: Bucket) -> list[Piece]:
    """Cover a range that is not empty, without overlap.

    Whole months come from their totals where buckets are months, then whole days where they are
    days or months, then whole hours; what is left at either end is read record by record.
    """
    return list(_cut(start_us, end_us, _COARSEST[bucket]))


def _cut(start_us: int, end_us: int, level: int) -> list[Piece]:
    """Take the middle from this level's table, and both ends from the finer ones."""
    if start_us >= end_us:
        return []
    if level == 0:
        return [Piece(usage_records, usage_records.c.counted_at_us, start_us, end_us)]
    first_us, last_us = _inner(start_us, end_us, level)
    if not start_us <= first_us < last_us:
        return _cut(start_us, end_us, level - 1)
    return [
        *_cut(start_us, first_us, level - 1),
        _whole(first_us, last_us, level),
        *_cut(last_us, end_us, level - 1),
    ]


def _inner(start_us: int, end_us: int, level: int) -> tuple[int, int]:
    """Return the first and the last boundary of a level's hours, days or months in a range."""
    if level == _COARSEST["month"]:
        period, last = period_of(start_us), period_of(end_us)
        if period_start_us(period) < start_us and period < last:
            period = next_period(period)
        return period_start_us(period), period_start_us(last)
    width_us = HOUR_US if level == 1 else DAY_US
    return -(-start_us // width_us) * width_us, end_us // width_us * width_us


def _whole(first_us: int, last_us: int, level: int) -> Piece:
    if level == _COARSEST["month"]:
        column = usage_months.c.period
        return Piece(usage_months, column, period_of(first_us), period_of(last_us))
    if level == 1:
        return Piece(usage_hours, usage_hours.c.hour_us, first_us, last_us)
    return Piece(usage_days, usage_days.c.day_us, first_us, last_us)
