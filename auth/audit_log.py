"""Append to the audit log within a transaction, read it, and walk its chain."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Index,
    LargeBinary,
    String,
    Table,
    Text,
    insert,
    select,
    type_coerce,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.types import NullType

from auth.actor import Actor
from auth.audit import NO_ENTRY, Entry, Event, Head, follows, next_entry
from auth.changes import READ_ONLY
from auth.errors import AuditBroken
from auth.tables import ID, metadata

_MICROSECONDS: Final = 1_000_000
_HASHES: Final = ("previous_hash", "hash")
_BEFORE_ALL: Final = -(2**63)
_PAGE: Final = 1000

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

_COLUMNS: Final = tuple(
    type_coerce(column, NullType()) if column.name in _HASHES else column
    for column in audit_events.c
)
"""The hashes as the database has them: SQLite may hold what SQLAlchemy cannot make bytes of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditWish:
    """Say which entries are wanted; None is no condition, and times are half-open."""

    tenant_id: str | None = None
    action: str | None = None
    target: str | None = None
    start_us: int | None = None
    end_us: int | None = None


EVERYTHING: Final = AuditWish()


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


async def read_entries(
    connection: AsyncConnection, *, after: int, limit: int, wish: AuditWish = EVERYTHING
) -> list[Entry]:
    """Return the next entries after a sequence number, in their order."""
    query = select(*_COLUMNS).where(audit_events.c.sequence > after, *_conditions(wish))
    rows = await connection.execute(query.order_by(audit_events.c.sequence).limit(limit))
    return [Entry(*row) for row in rows]


async def verify_log(
    engine: AsyncEngine, *, noted: Head = NO_ENTRY, on_page: Callable[[Head], None]
) -> Head:
    """Walk the chain from its beginning and return its end; `on_page` is told how far it came.

    Threat: whoever may write to the database can cut the end off, or make all hashes anew; only a
    head that was noted elsewhere tells that.

    Raises:
        AuditBroken: an entry was changed, removed, added or moved, or the noted one is not there.
    """
    head, is_noted = NO_ENTRY, noted == NO_ENTRY
    after = _BEFORE_ALL
    while page := await _page(engine, after):
        for entry in page:
            if not follows(entry, head):
                raise AuditBroken(head.sequence + 1, "changed, removed, added or moved")
            head = Head(entry.sequence, entry.hash)
            is_noted = is_noted or head == noted
            if head.sequence == noted.sequence and not is_noted:
                raise AuditBroken(head.sequence, "another entry than the one that was noted")
        after = head.sequence
        on_page(head)
    if not is_noted:
        raise AuditBroken(head.sequence + 1, f"it ended at {noted.sequence} when that was noted")
    return head


async def _page(engine: AsyncEngine, after: int) -> list[Entry]:
    async with engine.execution_options(**READ_ONLY).connect() as connection:
        return await read_entries(connection, after=after, limit=_PAGE)


def _conditions(wish: AuditWish) -> Iterator[ColumnElement[bool]]:
    column = audit_events.c
    if wish.tenant_id is not None:
        yield column.tenant_id == wish.tenant_id
    if wish.action is not None:
        yield column.action == wish.action
    if wish.target is not None:
        yield column.target == wish.target
    if wish.start_us is not None:
        yield column.occurred_at_us >= wish.start_us
    if wish.end_us is not None:
        yield column.occurred_at_us < wish.end_us


def _row_of(entry: Entry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in Entry.__dataclass_fields__}
