"""The totals by hour, day and month, kept with the records that they are sums of.

Whoever adds records to the ledger adds them here in the same transaction, so that a report may read
a total where it would have to add up records.
"""

from typing import Final

from sqlalchemy import Table, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.usage.periods import DAY_US, HOUR_US
from gateway.usage.tables import usage_days, usage_hours, usage_months

_KEYS: Final = ("period", "tenant_id", "key_id", "model", "version", "is_test")
_SUMS: Final = ("rows", "units", "compute_us", "bytes_in", "bytes_out")


async def add_totals(connection: AsyncConnection, *, after: int) -> None:
    """Add the records past a sequence number to the totals; the transaction has just put them in.

    A mark (outcome `lost`) adds nothing, and a correction no request. The caller holds the book.
    """
    for statement in _STATEMENTS:
        await connection.execute(statement, {"after": after})


def _statement(table: Table, column: str = "", width_us: int = 0) -> TextClause:
    start = {column: f"counted_at_us - counted_at_us % {width_us}"} if column else {}
    values = start | {key: key for key in _KEYS}
    places = ", ".join(str(place) for place in range(1, len(values) + 1))
    sums = {"requests": "sum(CASE outcome WHEN 'ok' THEN 1 ELSE 0 END)"} | {
        name: f"sum({name})" for name in _SUMS
    }
    key = ", ".join(table.primary_key.columns.keys())
    added = ", ".join(f"{name} = {table.name}.{name} + excluded.{name}" for name in sums)
    return text(
        f"INSERT INTO {table.name} ({', '.join(values | sums)})"  # noqa: S608 - names of our own # nosec B608
        f" SELECT {', '.join((values | sums).values())} FROM usage_records"
        f" WHERE sequence > :after AND outcome <> 'lost' GROUP BY {places}"
        f" ON CONFLICT ({key}) DO UPDATE SET {added}"
    )


_STATEMENTS: Final = (
    _statement(usage_hours, "hour_us", HOUR_US),
    _statement(usage_days, "day_us", DAY_US),
    _statement(usage_months),
)
