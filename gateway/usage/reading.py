"""Read the records of the ledger one by one, in the order in which they were committed.

The sequence numbers of committed records have no gap below `last_sequence`, as every transaction
that adds some holds the book while it does: whoever has read up to one misses nothing before it.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.usage.ledger import read_only
from gateway.usage.tables import usage_book, usage_hours, usage_months, usage_records

CHUNK_RECORDS: Final = 1000
"""As many are in memory at a time."""

WINDOW_RECORDS: Final = 200_000
"""As many are looked at by one statement, so that none takes longer than a statement may."""


class LedgerRecord(NamedTuple):
    """One record as it stands in the ledger; fields are columns of their names."""

    sequence: int
    """Place in the order of commit, over all tenants. Threat: two of them tell a tenant how much
    all others used between, so it is shown to nobody as it is."""

    request_id: str
    counted_at_us: int
    """Decides the period."""

    occurred_at_us: int
    tenant_id: str
    key_id: str
    model: str
    version: str
    protocol: str
    rows: int
    units: int
    outcome: str
    corrects: str
    """The id of the record that this one marks or corrects; else empty."""

    is_test: bool
    queue_us: int
    compute_us: int
    bytes_in: int
    bytes_out: int


@dataclass(frozen=True, slots=True)
class RecordWish:
    """Which records are wanted; None is no bound.

    Attributes:
        start_us, end_us: half-open range of the moment that they are counted at.
        tenant_id, model, key_id: of these alone.
        is_test: what test keys did instead of what is billed; None is both.
    """

    start_us: int | None = None
    end_us: int | None = None
    tenant_id: str | None = None
    model: str | None = None
    key_id: str | None = None
    is_test: bool | None = False


async def last_sequence(engine: AsyncEngine) -> int:
    """Return the number of the last committed record; 0 while there is none.

    Raises:
        LedgerUnavailable: the database did not answer.
    """
    async with read_only(engine) as connection:
        return int(await connection.scalar(select(usage_book.c.last_sequence)) or 0)


async def has_used(
    engine: AsyncEngine, tenant_id: str, *, model: str | None, key_id: str | None
) -> bool:
    """Tell whether a tenant has records of a model, or of a credential; None is any.

    Raises:
        LedgerUnavailable: the database did not answer.
    """
    statements = []
    for totals in (usage_months, usage_hours):  # hours are folded into months when they are over
        table = totals.c
        statement = select(table.tenant_id).where(table.tenant_id == tenant_id).limit(1)
        if model is not None:
            statement = statement.where(table.model == model)
        if key_id is not None:
            statement = statement.where(table.key_id == key_id)
        statements.append(statement)
    async with read_only(engine) as connection:
        found = [await connection.scalar(statement) for statement in statements]
    return any(one is not None for one in found)


async def read_records(
    engine: AsyncEngine, wish: RecordWish, *, after: int, through: int, limit: int
) -> AsyncIterator[list[LedgerRecord]]:
    """Read up to `limit` records behind `after` and not behind `through`, in chunks, in order.

    No connection is held between two chunks; what was read does not change.

    Raises:
        LedgerUnavailable: the database did not answer.
    """
    left, position = limit, after
    while left > 0 and position < through:
        window_end = min(position + WINDOW_RECORDS, through)
        wanted = min(left, CHUNK_RECORDS)
        statement = _statement(wish, after=position, through=window_end).limit(wanted)
        found = await _fetch(engine, statement)
        if found:
            yield found
        left -= len(found)
        position = found[-1].sequence if len(found) == wanted else window_end


async def _fetch(engine: AsyncEngine, statement: Select[Any]) -> list[LedgerRecord]:
    async with read_only(engine) as connection:
        return await _records(connection, statement)


async def _records(connection: AsyncConnection, statement: Select[Any]) -> list[LedgerRecord]:
    found = await connection.execute(statement)
    return list(map(LedgerRecord._make, found.all()))


def _statement(wish: RecordWish, *, after: int, through: int) -> Select[Any]:
    table = usage_records.c
    statement = (
        select(*(table[name] for name in LedgerRecord._fields))
        .where(table.sequence > after, table.sequence <= through)
        .order_by(table.sequence)
    )
    if wish.start_us is not None:
        statement = statement.where(table.counted_at_us >= wish.start_us)
    if wish.end_us is not None:
        statement = statement.where(table.counted_at_us < wish.end_us)
    if wish.is_test is not None:
        statement = statement.where(table.is_test.is_(wish.is_test))
    given = {table.tenant_id: wish.tenant_id, table.model: wish.model, table.key_id: wish.key_id}
    for column, value in given.items():
        if value is not None:
            statement = statement.where(column == value)
    return statement
