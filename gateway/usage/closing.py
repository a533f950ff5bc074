"""Close a month: begin, wait for the journals, seal, hash, finish; each step can be repeated.

Everything a step does is in one transaction, so a crash at any point leaves a month that is
closing, and whoever closes it again goes on from there. Two who close it at once do the same.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import func, insert, select, text, type_coerce, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.types import NullType

from gateway.usage.book import take_book
from gateway.usage.chain import (
    LOT,
    MEMBERS,
    NO_ROOT,
    Link,
    Lot,
    Record,
    Sums,
    chain_start,
    next_lot,
    pack_marks,
)
from gateway.usage.errors import EarlierPeriodOpen, PeriodNotFound, PeriodNotOver
from gateway.usage.ledger import read_only, translated
from gateway.usage.period_records import (
    PeriodRecord,
    Totals,
    latest_in,
    period_in,
    totals_in,
)
from gateway.usage.period_tables import usage_checkpoints, usage_periods
from gateway.usage.periods import next_period, period_of
from gateway.usage.promises import JournalPromise, journal_promises
from gateway.usage.tables import usage_book, usage_hours, usage_records

_ADD_CHECKPOINT: Final = text(
    "INSERT INTO usage_checkpoints"
    " (period, through_sequence, record_count, head, later_sequence, marks)"
    " VALUES (:period, :through_sequence, :record_count, :head, :later_sequence, :marks)"
    " ON CONFLICT DO NOTHING"
).execution_options(preserve_rowcount=True)
_ADD_TOTALS: Final = text(
    "INSERT INTO usage_period_totals (period, tenant_id, model, is_test, requests, rows, units)"
    " VALUES (:period, :tenant_id, :model, :is_test, :requests, :rows, :units)"
    " ON CONFLICT (period, tenant_id, model, is_test) DO UPDATE SET"
    " requests = usage_period_totals.requests + excluded.requests,"
    " rows = usage_period_totals.rows + excluded.rows,"
    " units = usage_period_totals.units + excluded.units"
)
_VALUES: Final = tuple(type_coerce(usage_records.c[name], NullType()) for name in MEMBERS)
"""The members as the database has them: SQLite may hold what SQLAlchemy cannot read."""


class Seal(NamedTuple):
    """What a document is known by: its hash, and a signature where somebody signs."""

    digest: str
    signature: str | None


async def begin_closing(
    connection: AsyncConnection, period: int, *, now_us: int
) -> tuple[PeriodRecord, PeriodRecord]:
    """Say that a month is closing, so that readers see it; return it as it was and as it is.

    The caller's transaction keeps out others who do the same.

    Raises:
        PeriodNotOver: it still runs.
        EarlierPeriodOpen: an earlier one is not closed.
        PeriodNotFound: the bill began after it.
    """
    before = await period_in(connection, period)
    if before.state != "open":
        return before, before
    if now_us < before.bounds_us[1]:
        raise PeriodNotOver(period)
    latest = await latest_in(connection)
    await _check_order(connection, period, latest)
    values = {
        "period": period,
        "state": "closing",
        "closing_at_us": now_us,
        "after_sequence": 0 if latest is None else latest.next_after,
        "previous_root": NO_ROOT if latest is None else latest.root,
    }
    await connection.execute(insert(usage_periods).values(**values))
    return before, await period_in(connection, period)


async def _check_order(
    connection: AsyncConnection, period: int, latest: PeriodRecord | None
) -> None:
    if latest is None:
        first_us = await connection.scalar(select(func.min(usage_hours.c.hour_us)))
        if first_us is not None and period_of(first_us) < period:
            raise EarlierPeriodOpen(period_of(first_us))
        return
    if latest.state != "closed":
        raise EarlierPeriodOpen(latest.period)
    following = next_period(latest.period)
    if period > following:
        raise EarlierPeriodOpen(following)
    if period < following:
        raise PeriodNotFound


async def holding_back(engine: AsyncEngine, period: int) -> list[JournalPromise]:
    """List the journals that have not promised that all of a month is in the ledger.

    Raises:
        LedgerUnavailable: the database did not answer.
    """
    end_us = PeriodRecord(period).bounds_us[1]
    return [
        promise
        for promise in await journal_promises(engine)
        if not promise.is_closed and promise.complete_through_us < end_us
    ]


async def seal(engine: AsyncEngine, period: int, *, now_us: int) -> PeriodRecord:
    """Let nothing more count in a month: what comes late counts in the open one from now on.

    Whoever adds records takes the book first, so none is between two months. Once more changes
    nothing.

    Raises:
        LedgerUnavailable: the database did not answer.
    """
    with translated():
        async with engine.begin() as connection:
            page = await take_book(connection, count=0)
            record = await period_in(connection, period)
            if record.state != "closing" or record.sealed_at_us is not None:
                return record
            end_us = max(page.open_from_us, record.bounds_us[1])
            await connection.execute(update(usage_book).values(open_from_us=end_us))
            await connection.execute(
                update(usage_periods)
                .where(usage_periods.c.period == period)
                .values(sealed_at_us=now_us, last_sequence=page.last_sequence)
            )
            return await period_in(connection, period)


async def reached(engine: AsyncEngine, record: PeriodRecord) -> Link:
    """Return where the chain of a month stands.

    Raises:
        LedgerUnavailable: the database did not answer.
    """
    async with read_only(engine) as connection:
        return await reached_in(connection, record)


async def reached_in(connection: AsyncConnection, record: PeriodRecord) -> Link:
    """Return where the chain of a month stands, within a transaction."""
    point = usage_checkpoints.c
    last = select(point.through_sequence, point.record_count, point.head)
    last = last.where(point.period == record.period).order_by(point.through_sequence.desc())
    row = (await connection.execute(last.limit(1))).first()
    return first_link(record) if row is None else Link(*row)


def first_link(record: PeriodRecord) -> Link:
    """Return the chain of a month before its first record."""
    head = chain_start(record.period, record.previous_root or NO_ROOT)
    return Link(record.after_sequence, 0, head)


async def hash_lot(engine: AsyncEngine, record: PeriodRecord, link: Link) -> Link:
    """Extend the chain of a sealed month by one lot, and write down where it stands.

    Raises:
        LedgerUnavailable: the database did not answer.
    """
    lot = await read_lot(engine, record, link)
    with translated():
        async with engine.begin() as connection:
            await _keep_lot(connection, record.period, lot, after=link.through_sequence)
    return lot.link


async def read_lot(engine: AsyncEngine, record: PeriodRecord, link: Link) -> Lot:
    """Read the records of the next lot of a sealed month and extend the chain by them.

    Raises:
        LedgerUnavailable: the database did not answer.
    """
    through = min(link.through_sequence + LOT, record.last_sequence or 0)
    sequence = usage_records.c.sequence
    query = (
        select(*_VALUES)
        .where(sequence > link.through_sequence, sequence <= through)
        .order_by(sequence)
    )
    async with read_only(engine) as connection:
        found: Sequence[Record] = (await connection.execute(query)).all()
    return await asyncio.to_thread(next_lot, link, found, period=record.period, through=through)


async def _keep_lot(connection: AsyncConnection, period: int, lot: Lot, *, after: int) -> None:
    """Write a lot down; where somebody else has done it, nothing is added up twice.

    The row of the month is held, so that nobody closes it in between.
    """
    month = usage_periods.c
    held = select(month.state).where(month.period == period).with_for_update()
    if await connection.scalar(held) != "closing":
        return
    point = {
        "period": period,
        "through_sequence": lot.link.through_sequence,
        "record_count": lot.link.record_count,
        "head": lot.link.head,
        "later_sequence": lot.later_sequence,
        "marks": pack_marks(lot.marks, after=after),
    }
    if (await connection.execute(_ADD_CHECKPOINT, point)).rowcount == 0 or not lot.sums:
        return
    rows: list[dict[str, Any]] = [
        {"period": period} | account._asdict() | sums._asdict()
        for account, sums in sorted(lot.sums.items())
    ]
    await connection.execute(_ADD_TOTALS, rows)


def is_hashed(record: PeriodRecord, link: Link) -> bool:
    """Tell whether the chain of a sealed month holds all of it."""
    return record.last_sequence is not None and link.through_sequence >= record.last_sequence


async def finish_closing(
    connection: AsyncConnection,
    period: int,
    *,
    now_us: int,
    seal_document: Callable[[PeriodRecord, Totals], Seal],
) -> tuple[PeriodRecord, PeriodRecord]:
    """Close a month whose chain holds all of it; return it as it was and as it is.

    A month that is not so far stays as it is.
    """
    before = await period_in(connection, period)
    link = await reached_in(connection, before)
    if before.state != "closing" or not is_hashed(before, link):
        return before, before
    totals = await totals_in(connection, period)
    billed = Sums()
    for account, sums in totals.items():
        billed = billed if account.is_test else billed.plus(sums)
    later = select(func.min(usage_checkpoints.c.later_sequence)).where(
        usage_checkpoints.c.period == period
    )
    first_later = await connection.scalar(later)
    values: dict[str, Any] = {
        "state": "closed",
        "closed_at_us": now_us,
        "record_count": link.record_count,
        "root": link.head,
        "next_after": before.last_sequence if first_later is None else first_later - 1,
        **billed._asdict(),
    }
    row = usage_periods.c.period == period
    closed = PeriodRecord(**{name: getattr(before, name) for name in _FIELDS} | values)
    values |= seal_document(closed, totals)._asdict()
    await connection.execute(update(usage_periods).where(row).values(**values))
    return before, await period_in(connection, period)


_FIELDS: Final = tuple(PeriodRecord.__dataclass_fields__)
