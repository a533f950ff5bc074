"""Prove that the records of a closed month are those that were closed, or say which is not."""

from collections.abc import AsyncIterator, Callable
from typing import Final

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.usage.chain import (
    NO_ROOT,
    Link,
    Lot,
    Mark,
    Sums,
    first_difference,
    unpack_marks,
)
from gateway.usage.closing import first_link, read_lot
from gateway.usage.errors import PeriodBroken, PeriodOpen, PeriodPruned
from gateway.usage.ledger import read_only
from gateway.usage.period_records import PeriodRecord, Totals, read_periods, read_totals
from gateway.usage.periods import next_period
from gateway.usage.tables import usage_records
from gateway.usage.totals import wrong_totals

_POINT: Final = text(
    "SELECT record_count, head, marks FROM usage_checkpoints"
    " WHERE period = :period AND through_sequence = :through_sequence"
)

OnLot = Callable[[Link], None]
"""Told how far the walk has come."""


async def verify_period(engine: AsyncEngine, period: int, *, on_lot: OnLot) -> PeriodRecord:
    """Walk the chain of a closed month anew, in bounded memory, and compare all that was noted.

    Threat: whoever may write to the database can make the chain anew; the root is then another one
    than was noted elsewhere, or is not the one that the month after it began with.

    Raises:
        PeriodOpen: the month is not closed.
        PeriodPruned: its records are no longer kept.
        PeriodBroken: it differs; where a record can be named, it is.
        LedgerUnavailable: the database did not answer.
    """
    record = await _linked(engine, period)
    link, sums = first_link(record), Totals()
    async for lot, marks, head in _walk(engine, record, link):
        if head != lot.link.head:
            await _tell(engine, record, lot, marks=marks)
        for account, added in lot.sums.items():
            sums[account] = sums.get(account, Sums()).plus(added)
        link = lot.link
        on_lot(link)
    await _check_outside(engine, record)
    if (link.head, link.record_count) != (record.root, record.record_count):
        raise PeriodBroken(period, "its root is another one, and its checkpoints with it")
    await _check_sums(engine, record, sums)
    return record


async def _linked(engine: AsyncEngine, period: int) -> PeriodRecord:
    """Return a closed month that begins with the root of the one before it."""
    known = {record.period: record for record in await read_periods(engine)}
    record = known.get(period, PeriodRecord(period))
    if record.state != "closed":
        raise PeriodOpen(period)
    if record.pruned_at_us is not None:
        raise PeriodPruned(period)
    earlier = [one for one in known.values() if one.period < period]
    before = earlier[-1] if earlier else None
    if before is not None and next_period(before.period) != period:
        raise PeriodBroken(period, "the month before it is not there")
    if record.previous_root != (NO_ROOT if before is None else before.root):
        raise PeriodBroken(period, "it does not begin with the root of the month before it")
    return record


async def _walk(
    engine: AsyncEngine, record: PeriodRecord, link: Link
) -> AsyncIterator[tuple[Lot, tuple[Mark, ...], str]]:
    """Read lot by lot: what is there, and the marks and the hash that were noted of it."""
    while link.through_sequence < (record.last_sequence or 0):
        lot = await read_lot(engine, record, link)
        marks, head = await _noted(engine, record, lot, after=link.through_sequence)
        yield lot, marks, head
        link = lot.link


async def _noted(
    engine: AsyncEngine, record: PeriodRecord, lot: Lot, *, after: int
) -> tuple[tuple[Mark, ...], str]:
    place = {"period": record.period, "through_sequence": lot.link.through_sequence}
    async with read_only(engine) as connection:
        row = (await connection.execute(_POINT, place)).first()
    return ((), "") if row is None else (unpack_marks(row.marks, after=after), str(row.head))


async def _tell(
    engine: AsyncEngine, record: PeriodRecord, lot: Lot, *, marks: tuple[Mark, ...]
) -> None:
    """Say which record of a lot is the first that differs, and what was done to it."""
    difference = first_difference(marks, lot.marks)
    if difference is None or not marks:
        where = f"up to {lot.link.through_sequence}"
        raise PeriodBroken(record.period, f"a record {where} or its checkpoint is another")
    finding, sequence, place = difference
    is_named = place < len(lot.marks) and lot.marks[place].sequence == sequence
    request_id = lot.request_ids[place] if is_named and finding != "removed" else ""
    if finding in ("added", "changed"):
        is_known = await _was_known(engine, record, lot.marks[place].content)
        finding = "reordered" if is_known else finding
    elif finding == "removed":
        content = next(mark.content for mark in marks if mark.sequence == sequence)
        finding = "reordered" if await _is_there(engine, record, content) else finding
    raise PeriodBroken(record.period, finding, sequence=sequence, request_id=request_id)


async def _was_known(engine: AsyncEngine, record: PeriodRecord, content: bytes) -> bool:
    """Look through the checkpoints of the month for what stands under another number now."""
    async for _, marks, _ in _walk(engine, record, first_link(record)):
        if any(mark.content == content for mark in marks):
            return True
    return False


async def _is_there(engine: AsyncEngine, record: PeriodRecord, content: bytes) -> bool:
    """Look through the records of the month for one that stood under another number."""
    async for lot, _, _ in _walk(engine, record, first_link(record)):
        if any(mark.content == content for mark in lot.marks):
            return True
    return False


async def _check_outside(engine: AsyncEngine, record: PeriodRecord) -> None:
    """Pass if no record counts in the month whose number lies outside it.

    Raises:
        PeriodBroken: one was added.
    """
    start_us, end_us = record.bounds_us
    row = usage_records.c
    inside = (row.counted_at_us >= start_us) & (row.counted_at_us < end_us)
    for outside in (row.sequence > record.last_sequence, row.sequence <= record.after_sequence):
        query = select(row.sequence, row.request_id).where(outside, inside)
        async with read_only(engine) as connection:
            found = (await connection.execute(query.limit(1))).first()
        if found is not None:
            raise PeriodBroken(
                record.period, "added", sequence=found.sequence, request_id=found.request_id
            )


async def _check_sums(engine: AsyncEngine, record: PeriodRecord, sums: Totals) -> None:
    """Pass if the document and the totals that reports read say what the records come to.

    Raises:
        PeriodBroken: one of them says something else.
    """
    billed = Sums()
    for account, added in sums.items():
        billed = billed if account.is_test else billed.plus(added)
    if billed != (record.requests, record.rows, record.units):
        raise PeriodBroken(record.period, "its sums are others")
    if sums != await read_totals(engine, record.period):
        raise PeriodBroken(record.period, "the sums of a tenant are others")
    async with read_only(engine) as connection:
        width = await wrong_totals(connection, record.period)
    if width is not None:
        raise PeriodBroken(
            record.period, f"the totals by {width} that reports are made from are others"
        )
