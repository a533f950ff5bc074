"""The totals by hour, day and month of the records that they are sums of.

Whoever adds records to the ledger adds them to the hours in the same transaction. Hours that are
over are folded into days and months, one at a time: `usage_book.folded_through_us` says how far,
and what comes later for an hour before it goes into all three at once. So the three agree at any
moment, and a delivery pays for one table alone.

Totals of closed months never change, and whoever verifies a month makes them anew.
"""

from typing import Final

from sqlalchemy import Table, TextClause, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.usage.book import Page, set_folded
from gateway.usage.periods import DAY_US, HOUR_US, period_bounds_us
from gateway.usage.tables import usage_days, usage_hours, usage_months

_KEYS: Final = ("period", "tenant_id", "key_id", "model", "version", "is_test")
_SUMS: Final = ("requests", "rows", "units", "compute_us", "bytes_in", "bytes_out")
_IS_ONE: Final = "CASE outcome WHEN 'ok' THEN 1 ELSE 0 END"
_ADDED: Final = "sequence > :after AND outcome <> 'lost'"


async def add_totals(connection: AsyncConnection, page: Page) -> None:
    """Add the records past a page to the totals; the transaction has just put them in.

    A mark (outcome `lost`) adds nothing, and a correction no request. The caller holds the book.
    """
    parameters = {"after": page.last_sequence, "through": page.folded_through_us}
    await connection.execute(_ADD_TO_HOURS, parameters)
    if await connection.scalar(_HAS_LATE, parameters):
        for statement in _ADD_LATE:
            await connection.execute(statement, parameters)


async def fold_hour(connection: AsyncConnection, page: Page, *, through_us: int) -> int:
    """Fold the next hour before a moment, and return the moment through which all are folded.

    The caller holds the book. Cost: one row of the hours for each row of a day and of a month.
    """
    hours = usage_hours.c
    is_next = (hours.hour_us >= page.folded_through_us) & (hours.hour_us < through_us)
    found = await connection.scalar(select(func.min(hours.hour_us)).where(is_next))
    if found is None:
        folded_through_us = through_us
    else:
        folded_through_us = int(found) + HOUR_US
        for statement in _FOLD:
            await connection.execute(statement, {"hour_us": found})
    await set_folded(connection, folded_through_us=folded_through_us)
    return folded_through_us


async def wrong_totals(connection: AsyncConnection, period: int) -> str | None:
    """Say which totals of a closed month, by hour, day or month, are not those of its records.

    Every column of every row is compared. Cost: reads the records of the month, a day at a time,
    and all totals by hour and day once.
    """
    start_us, end_us = period_bounds_us(period)
    for day_us in range(start_us, end_us, DAY_US):
        day = {"start_us": day_us, "end_us": day_us + DAY_US}
        if await connection.scalar(_WRONG_HOURS, day):
            return "hour"
    month = {"period": period, "start_us": start_us, "end_us": end_us}
    for width, statements in _WRONG.items():
        for statement in statements:
            if await connection.scalar(statement, month):
                return width
    return None


def _adding(table: Table, start: str, source: str, *, where: str) -> TextClause:
    """Return the statement that adds sums to a table of totals; `start` is SQL for its own key."""
    keys = [column.name for column in table.primary_key]
    columns = ", ".join((*_own(table), *_KEYS, *_SUMS))
    added = ", ".join(f"{name} = {table.name}.{name} + excluded.{name}" for name in _SUMS)
    return text(
        f"INSERT INTO {table.name} ({columns})"  # names of our own # nosec B608
        f" {_summed(table, start, source, where=where)}"
        f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {added}"
    )


def _summed(table: Table, start: str, source: str, *, where: str) -> str:
    """Return the query for the rows of a table of totals, from what they are sums of."""
    keys = (*dict.fromkeys(_own(table), start).values(), *_KEYS)
    sums = dict(zip(_SUMS, _SUMS, strict=True))
    if source == "usage_records":
        sums["requests"] = _IS_ONE
    places = ", ".join(str(place) for place in range(1, len(keys) + 1))
    terms = (*keys, *(f"sum({term})" for term in sums.values()))
    return f"SELECT {', '.join(terms)} FROM {source} WHERE {where} GROUP BY {places}"  # noqa: S608 - names of our own # nosec B608


def _wrong(table: Table, start: str, source: str, *, where: str, kept: str) -> TextClause:
    """Return the query that finds a row of totals which is missing, added or another one."""
    made = _summed(table, start, source, where=where)
    columns = ", ".join((*_own(table), *_KEYS, *_SUMS))
    found = f"SELECT {columns} FROM {table.name} WHERE {kept}"  # noqa: S608 - names of our own # nosec B608
    made, found = (f"SELECT * FROM ({query}) AS each" for query in (made, found))  # noqa: S608 - names of our own # nosec B608
    missing, added = f"{made} EXCEPT {found}", f"{found} EXCEPT {made}"
    return text(
        f"SELECT 1 FROM ({missing}) AS missing UNION ALL SELECT 1 FROM ({added}) AS added LIMIT 1"  # noqa: S608 - names of our own # nosec B608
    )


def _stray(table: Table) -> TextClause:
    """Return the query that finds totals of a month at a moment outside of it."""
    [start] = _own(table)
    outside = f"({start} < :start_us OR {start} >= :end_us)"
    return text(f"SELECT 1 FROM {table.name} WHERE period = :period AND {outside} LIMIT 1")  # noqa: S608 - names of our own # nosec B608


def _own(table: Table) -> list[str]:
    """Name the column that says when an hour or a day begins; a month has none."""
    return [column.name for column in table.primary_key if column.name.endswith("_us")]


def _within(column: str) -> str:
    return f"{column} >= :start_us AND {column} < :end_us"


def _rounded(column: str, width_us: int) -> str:
    return f"{column} - {column} % {width_us}"


_LATE: Final = f"{_ADDED} AND counted_at_us < :through"
_HAS_LATE: Final = text(f"SELECT 1 FROM usage_records WHERE {_LATE} LIMIT 1")  # noqa: S608 - our own # nosec B608
_ADD_TO_HOURS: Final = _adding(
    usage_hours, _rounded("counted_at_us", HOUR_US), "usage_records", where=_ADDED
)
_ADD_LATE: Final = (
    _adding(usage_days, _rounded("counted_at_us", DAY_US), "usage_records", where=_LATE),
    _adding(usage_months, "", "usage_records", where=_LATE),
)
_FOLD: Final = (
    _adding(usage_days, _rounded("hour_us", DAY_US), "usage_hours", where="hour_us = :hour_us"),
    _adding(usage_months, "", "usage_hours", where="hour_us = :hour_us"),
)
_FOLDED: Final = f"{_within('hour_us')} AND hour_us < (SELECT folded_through_us FROM usage_book)"  # noqa: S608 - our own # nosec B608
_WRONG_HOURS: Final = _wrong(
    usage_hours,
    _rounded("counted_at_us", HOUR_US),
    "usage_records",
    where=f"{_within('counted_at_us')} AND outcome <> 'lost'",
    kept=_within("hour_us"),
)
_WRONG: Final = {
    "hour": (_stray(usage_hours),),
    "day": (
        _stray(usage_days),
        _wrong(
            usage_days,
            _rounded("hour_us", DAY_US),
            "usage_hours",
            where=_FOLDED,
            kept=_within("day_us"),
        ),
    ),
    "month": (_wrong(usage_months, "", "usage_hours", where=_FOLDED, kept="period = :period"),),
}
