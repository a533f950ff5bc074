"""Look after the journals that the ledger knows: who holds the watermark back, and for how long.

A journal that was lost for good, as with the disk of a replica, can promise nothing more. Until an
operator says so, everybody's `complete_through` stays where it stopped.
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.usage.errors import JournalAlive, JournalUnknown
from gateway.usage.ledger import lock_promises, read_only, translated
from gateway.usage.tables import usage_journals

ALIVE_SECONDS: Final = 60
"""A journal that promised something so recently belongs to a worker that runs."""


@dataclass(frozen=True, slots=True)
class JournalPromise:
    """What the ledger knows of one journal."""

    journal_id: str
    position: int
    complete_through_us: int
    is_closed: bool
    """Its worker left in order, or somebody forgot it; it holds nothing back."""

    is_holding: bool
    """Nobody is promised more than this one promises."""


async def journal_promises(engine: AsyncEngine) -> list[JournalPromise]:
    """List the journals, those that hold the watermark back first.

    Raises:
        LedgerUnavailable: the database did not answer.
    """
    async with read_only(engine) as connection:
        found = (await connection.execute(select(usage_journals))).all()
    least_us = min((row.complete_through_us for row in found if not row.is_closed), default=None)
    promises = [
        JournalPromise(
            journal_id=row.journal_id,
            position=row.position,
            complete_through_us=row.complete_through_us,
            is_closed=row.is_closed,
            is_holding=not row.is_closed and row.complete_through_us == least_us,
        )
        for row in found
    ]
    return sorted(
        promises, key=lambda one: (one.is_closed, one.complete_through_us, one.journal_id)
    )


async def forget_journal(engine: AsyncEngine, journal_id: str, *, now_us: int) -> JournalPromise:
    """Let a journal that is lost hold nobody back any more; return what it had promised.

    What it recorded after that and never delivered is on no bill. Should the file come back, it is
    delivered then, late.

    Threat: without the journal of a worker that runs, readers would be promised moments whose
    records are still to come.

    Raises:
        JournalUnknown: the ledger knows no such journal.
        JournalAlive: it promised something within the last minute.
        LedgerUnavailable: the database did not answer.
    """
    known = {promise.journal_id: promise for promise in await journal_promises(engine)}
    if journal_id not in known:
        raise JournalUnknown(journal_id)
    promise = known[journal_id]
    alive_us = now_us - ALIVE_SECONDS * 1_000_000
    journal = usage_journals.c
    quiet = (journal.journal_id == journal_id) & (journal.complete_through_us < alive_us)
    with translated():
        async with engine.begin() as connection:
            closed = update(usage_journals).where(quiet).values(is_closed=True)
            if (await connection.execute(closed)).rowcount == 0:
                raise JournalAlive(journal_id)
    return promise


async def complete_through(connection: AsyncConnection) -> int:
    """Return the least promise of the journals in use; the last one made when none is in use."""
    table = usage_journals.c
    found = (await connection.execute(select(table.complete_through_us, table.is_closed))).all()
    in_use = [row.complete_through_us for row in found if not row.is_closed]
    return int(
        min(in_use) if in_use else max((row.complete_through_us for row in found), default=0)
    )


async def hold_promises(connection: AsyncConnection) -> int:
    """Let nobody promise more until the transaction ends; return the most that anybody promised."""
    await lock_promises(connection)
    most = select(func.coalesce(func.max(usage_journals.c.complete_through_us), 0))
    return int(await connection.scalar(most) or 0)
