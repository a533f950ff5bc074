"""Read the ledger: usage by hour, day or month, and what each tenant used in a month.

Source: issue 2, `GET /v1/usage`: half-open UTC ranges, integer units, stable order.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Row,
    Select,
    case,
    cast,
    func,
    select,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.usage.errors import RangeInvalid
from gateway.usage.ledger import read_only
from gateway.usage.periods import DAY_US, period_bounds_us, period_of
from gateway.usage.pieces import WIDTHS_US, Bucket, Piece, Pieces
from gateway.usage.promises import complete_through
from gateway.usage.tables import usage_book, usage_records

Group = Literal["tenant", "model", "key"]

MAX_BUCKETS: Final = 10_000
_COLUMNS: Final = {"tenant": "tenant_id", "model": "model", "key": "key_id"}


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """What to report.

    Attributes:
        start_us, end_us: half-open range in microseconds since the epoch.
        bucket: the width of a row in time, aligned to UTC.
        group_by: what else rows are told apart by, in this order.
        tenant_id: report on this tenant alone; None is everybody.
        is_test: report what test keys did instead of what is billed.
    """

    start_us: int
    end_us: int
    bucket: Bucket
    group_by: tuple[Group, ...] = ()
    tenant_id: str | None = None
    is_test: bool = False


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Usage in one bucket by one group; `keys` stand in the order of the query's `group_by`."""

    start_us: int
    end_us: int
    keys: tuple[str, ...]
    requests: int
    rows: int
    units: int


@dataclass(frozen=True, slots=True)
class UsageReport:
    """The rows in order of time and keys; nothing before `complete_through_us` will be added."""

    rows: list[UsageRow]
    complete_through_us: int


async def usage_report(engine: AsyncEngine, query: UsageQuery) -> UsageReport:
    """Add up the ledger; only buckets with usage appear, cut to the range that was asked.

    Cost: reads the totals of whole months, days and hours, and records for at most two parts of an
    hour. All of it is read as of one moment, so that the report holds what it promises, and an hour
    that is folded meanwhile is not counted twice.

    The order is made here, by code points, so that no database's collation changes it.

    Raises:
        RangeInvalid: the range is empty, reversed, outside the calendar or in too many buckets.
        LedgerUnavailable: the database did not answer.
    """
    _check(query)
    async with read_only(engine, **_isolation(engine)) as connection:
        complete_through_us = await complete_through(connection)
        folded_through_us = await connection.scalar(select(usage_book.c.folded_through_us))
        statement = _statement(query, Pieces(query.bucket, folded_through_us or 0))
        found = (await connection.execute(statement)).all()
    bounds_us = {bucket: _bounds_us(query, bucket) for bucket in {row[0] for row in found}}
    rows = [_row(bounds_us[row[0]], row) for row in found]
    rows.sort(key=lambda row: (row.start_us, row.keys))
    return UsageReport(rows, complete_through_us)


async def month_units(engine: AsyncEngine, period: int) -> dict[str, int]:
    """Return the billed units of every tenant in a period, for a limiter that starts.

    Raises:
        LedgerUnavailable: the database did not answer.
    """
    query = UsageQuery(*period_bounds_us(period), "month", ("tenant",))
    return {row.keys[0]: row.units for row in (await usage_report(engine, query)).rows}


def _isolation(engine: AsyncEngine) -> dict[str, str]:
    """Say what lets PostgreSQL read as of one moment; a transaction of SQLite always does."""
    return {"isolation_level": "REPEATABLE READ"} if engine.dialect.name == "postgresql" else {}


def _statement(query: UsageQuery, pieces: Pieces) -> Select[Any]:
    """Add up totals where they fit the range and the buckets, and records for the rest."""
    parts = [_part(query, piece) for piece in pieces.of(query.start_us, query.end_us)]
    part = union_all(*parts).subquery("part").c
    keys = [part[group] for group in query.group_by]
    totals = [_total(part[name]).label(name) for name in ("requests", "row_count", "units")]
    return select(part.bucket, *totals, *keys).group_by(part.bucket, *keys)


def _part(query: UsageQuery, piece: Piece) -> Select[Any]:
    """Read one piece of the range from the table that was chosen for it."""
    table = piece.table.c
    is_raw = piece.table is usage_records
    requests = case((table.outcome == "ok", 1), else_=0) if is_raw else table.requests
    statement = select(
        _bucket(query.bucket, piece).label("bucket"),
        requests.label("requests"),
        table.rows.label("row_count"),
        table.units.label("units"),
        *(table[_COLUMNS[group]].label(group) for group in query.group_by),
    ).where(piece.column >= piece.start, piece.column < piece.end, table.is_test.is_(query.is_test))
    if is_raw:
        statement = statement.where(table.outcome != "lost")
    if query.tenant_id is not None:
        statement = statement.where(table.tenant_id == query.tenant_id)
    return statement


def _bucket(bucket: Bucket, piece: Piece) -> ColumnElement[int]:
    if bucket == "month":
        return piece.table.c.period + 0
    return piece.column - piece.column % WIDTHS_US[bucket]


def _total(column: ColumnElement[int]) -> ColumnElement[int]:
    """Add up as a whole number; PostgreSQL would answer with a decimal."""
    return cast(func.sum(column), BigInteger)


def _row(bounds_us: tuple[int, int], found: Row[Any]) -> UsageRow:
    _, requests, rows, units, *keys = tuple(found)
    return UsageRow(*bounds_us, tuple(map(str, keys)), requests, rows, units)


def _bounds_us(query: UsageQuery, bucket: int) -> tuple[int, int]:
    """Return where a bucket begins and ends, cut to the range that was asked."""
    if query.bucket == "month":
        start_us, end_us = period_bounds_us(bucket)
    else:
        start_us, end_us = bucket, bucket + WIDTHS_US[query.bucket]
    return max(start_us, query.start_us), min(end_us, query.end_us)


def _check(query: UsageQuery) -> None:
    if query.start_us >= query.end_us:
        raise RangeInvalid("the range ends before it begins, or is empty")
    try:
        is_in_calendar = query.start_us >= 0 and period_of(query.end_us) > 0
    except ValueError:
        is_in_calendar = False
    if not is_in_calendar:
        raise RangeInvalid("the range is outside the years 1970 to 9999")
    width_us = WIDTHS_US.get(query.bucket, 28 * DAY_US)
    if (query.end_us - query.start_us) // width_us > MAX_BUCKETS:
        raise RangeInvalid(f"the range has more than {MAX_BUCKETS} buckets; use a wider one")
