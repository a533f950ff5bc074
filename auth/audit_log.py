"""Append to the audit log within a transaction, read it, and walk its chain."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Index, LargeBinary, String, Table, Text, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.actor import Actor
from auth.audit import NO_ENTRY, Entry, Event, Head, next_entry
from auth.tables import ID, metadata

_MICROSECONDS: Final = 1_000_000

audit_events: Final = Table(
    "audit_events",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("occurred_at_us", BigInteger, nullable=False),
    Column("tenant_id", ID, nullable=False),
    Column("actor_kind", String(16), nullable=False),
    Column("actor_id", String(64), nullable=False),
    Column("actor_tenant_id", String(64), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("action", String(64), nullable=False),
    Column("target", String(64), nullable=False),
    Column("before", Text),
    Column("after", Text),
    Column("previous_hash", LargeBinary(32), nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Index("ix_audit_events_tenant_id_sequence", "tenant_id", "sequence"),
)
"""One row for each change. Triggers of both databases refuse to change or to remove one."""


async def append_events(
    connection: AsyncConnection, events: Iterable[Event], *, actor: Actor, at: datetime
) -> None:
    """Append what changed in this transaction, whose lock on the catalogue keeps others out.

    Threat: an event in a transaction of its own is lost, or tells of what never happened, when the
    process ends between the two.
    """
    head = await read_head(connection)
    occurred_at_us = round(at.timestamp() * _MICROSECONDS)
    for event in events:
        entry = next_entry(head, event, actor=actor, occurred_at_us=occurred_at_us)
        await connection.execute(insert(audit_events).values(**_row_of(entry)))
        head = Head(entry.sequence, entry.hash)


async def read_head(connection: AsyncConnection) -> Head:
    """Return the end of the log."""
    column = audit_events.c
    last = select(column.sequence, column.hash).order_by(column.sequence.desc()).limit(1)
    row = (await connection.execute(last)).first()
    return NO_ENTRY if row is None else Head(row.sequence, row.hash)


async def read_entries(connection: AsyncConnection, *, after: int, limit: int) -> list[Entry]:
    """Return the next entries after a sequence number, in their order."""
    query = select(audit_events).where(audit_events.c.sequence > after)
    rows = await connection.execute(query.order_by(audit_events.c.sequence).limit(limit))
    return [Entry(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name


def _row_of(entry: Entry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in Entry.__dataclass_fields__}
