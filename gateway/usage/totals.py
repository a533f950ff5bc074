"""The totals by hour, day and month of the records that they are sums of.

Whoever adds records to the ledger adds them to the hours in the same transaction. Hours that are
over are folded into days and months, one at a time: `usage_book.folded_through_us` says how far,
and what comes later for an hour before it goes into all three at once. So the three agree at any
moment, and a delivery pays for one table alone.
"""

from typing import Final

from sqlalchemy import Table, TextClause, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.usage.book import Page, set_folded
from gateway.usage.periods import DAY_US, HOUR_US
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


def _adding(table: Table, start: str, source: str, *, where: str) -> TextClause:
    """Return the statement that adds sums to a table of totals; `start` is SQL for its own key."""
    keys = [column.name for column in table.primary_key]
    own = [name for name in keys if name.endswith("_us")]
    values = {**dict.fromkeys(own, start), **{key: key for key in _KEYS}}
    sums = dict(zip(_SUMS, _SUMS, strict=True))
    if source == "usage_records":
        sums["requests"] = _IS_ONE
    places = ", ".join(str(place) for place in range(1, len(values) + 1))
    added = ", ".join(f"{name} = {table.name}.{name} + excluded.{name}" for name in sums)
    terms = (*values.values(), *(f"sum({term})" for term in sums.values()))
    return text(
        f"INSERT INTO {table.name} ({', '.join((*values, *sums))})"  # noqa: S608 - names of our own # nosec B608
        f" SELECT {', '.join(terms)} FROM {source} WHERE {where} GROUP BY {places}"
        f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {added}"
    )


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
