"""Several journals deliver to one PostgreSQL at once: what readers were promised stays true.

The transactions are real and run at the same time; the clocks of the journals are apart.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.database import create_engine
from gateway.usage.corrections import Corrected, Correction, add_correction
from gateway.usage.journal import Journal
from gateway.usage.ledger import JournalState, Ledger
from gateway.usage.periods import wall_clock_us
from gateway.usage.reports import UsageQuery, usage_report
from gateway.usage.segment_file import Segments
from gateway.usage.shipper import Shipper
from gateway.usage.tables import usage_records
from tests.postgres_server import PostgresServer, name_of
from tests.unit.gateway.usage.conftest import record_of

JOURNALS = 4
LIVES = 3
RECORDS = 40
SKEW_US = 300_000
LATE_LOCK = 4711


@pytest.fixture
async def engine(migrated_postgres: str) -> AsyncIterator[AsyncEngine]:
    """Open a database for everybody; each transaction has a connection of its own."""
    engine = create_engine(migrated_postgres, pool_size=2 * JOURNALS)
    yield engine
    await engine.dispose()


@dataclass(frozen=True)
class Reading:
    """What a reader was promised, and the ids that it then found below the promise."""

    promised_us: int
    request_ids: frozenset[str]


async def promised(engine: AsyncEngine) -> int:
    """Read the watermark as a billing script does."""
    return (await usage_report(engine, UsageQuery(0, 1, "month"))).complete_through_us


async def read(engine: AsyncEngine) -> Reading:
    """Read the watermark, and then what lies below it."""
    promised_us = await promised(engine)
    below = select(usage_records.c.request_id).where(usage_records.c.occurred_at_us < promised_us)
    async with engine.connect() as connection:
        return Reading(promised_us, frozenset(await connection.scalars(below)))


async def live(engine: AsyncEngine, path: Path, *, skew_us: int) -> None:
    """Serve and deliver under one journal, several lives long, with a clock that is off."""
    names = (f"{path.stem}-{number}" for number in itertools.count())
    for _ in range(LIVES):
        journal = Journal(path, max_bytes=1 << 30, now_us=lambda: wall_clock_us() + skew_us)
        await journal.open()
        shipper = Shipper(
            journal,
            Ledger(engine),
            interval_seconds=0.001,
            now_us=lambda: wall_clock_us() + skew_us,
        )
        await shipper.start()
        for name in itertools.islice(names, RECORDS):
            await journal.record(record_of(name, occurred_at_us=journal.stamp()))
        await shipper.close()
        await journal.close()


async def keep_reading(engine: AsyncEngine, readings: list[Reading]) -> None:
    """Read again and again until cancelled."""
    while True:
        readings.append(await read(engine))


async def test_what_was_promised_is_never_added_to(engine: AsyncEngine, tmp_path: Path) -> None:
    """Whoever joins, leaves and delivers meanwhile: below a promise nothing appears later."""
    readings: list[Reading] = []
    reader = asyncio.create_task(keep_reading(engine, readings))
    await asyncio.gather(
        *(
            live(engine, tmp_path / f"j{number}.db", skew_us=number * SKEW_US)
            for number in range(JOURNALS)
        )
    )
    reader.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await reader
    async with engine.connect() as connection:
        columns = (usage_records.c.request_id, usage_records.c.occurred_at_us)
        final = (await connection.execute(select(*columns))).all()
    assert len(final) == JOURNALS * LIVES * RECORDS
    assert len({reading.promised_us for reading in readings}) > 1
    for reading in readings:
        below = {row.request_id for row in final if row.occurred_at_us < reading.promised_us}
        assert below == reading.request_ids


async def test_numbers_have_no_gap_and_are_seen_in_order(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    """Whoever reads on after the last number it saw misses nothing, however commits overlap."""
    seen: list[int] = []
    total = JOURNALS * LIVES * RECORDS

    async def follow() -> None:
        numbers = select(usage_records.c.sequence).order_by("sequence")
        while len(seen) < total:
            async with engine.connect() as connection:
                more = numbers.where(usage_records.c.sequence > (seen[-1] if seen else 0))
                seen.extend(await connection.scalars(more))

    lives = [live(engine, tmp_path / f"j{number}.db", skew_us=0) for number in range(JOURNALS)]
    async with asyncio.timeout(60):
        await asyncio.gather(follow(), *lives)
    assert seen == list(range(1, total + 1))


def record_text(request_id: str) -> str:
    """Write a record as a journal of an early version does."""
    return f'["{request_id}",1794700800000000,"t","k","m","1","v1",1,1,false,0,0,0,0]'


async def hold_rows(engine: AsyncEngine, table: str, *, where: str) -> None:
    """Let rows wait for a lock of ours just before they are written down."""
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "CREATE FUNCTION be_late() RETURNS trigger LANGUAGE plpgsql AS"
                f" $$ BEGIN PERFORM pg_advisory_xact_lock({LATE_LOCK}); RETURN NEW; END $$"
            )
        )
        await connection.execute(
            text(
                f"CREATE TRIGGER be_late BEFORE INSERT ON {table} FOR EACH ROW"
                f" WHEN ({where}) EXECUTE FUNCTION be_late()"
            )
        )


async def test_nobody_promises_while_another_joins(
    engine: AsyncEngine, postgres: PostgresServer
) -> None:
    """A journal that joins for the first time has no row that others could wait for."""
    ledger, database = Ledger(engine), name_of(str(engine.url))
    await hold_rows(engine, "usage_journals", where="NEW.journal_id = 'late'")
    await ledger.join("early", now_us=100)
    async with engine.begin() as holder:
        await holder.execute(text(f"SELECT pg_advisory_xact_lock({LATE_LOCK})"))
        joining = asyncio.create_task(ledger.join("late", now_us=100))
        await asyncio.to_thread(postgres.wait_for_locks, database, count=1)
        taking = asyncio.create_task(
            ledger.take("early", None, position=0, complete_through_us=1000)
        )
        await asyncio.to_thread(postgres.wait_for_locks, database, count=2)
        before_us = await promised(engine)
    state: JournalState = await joining
    await taking
    assert before_us <= state.floor_us
    assert await promised(engine) <= state.floor_us


async def test_nobody_promises_while_another_corrects(
    engine: AsyncEngine, postgres: PostgresServer
) -> None:
    """A journal that has nothing to deliver promises without the book that a correction holds."""
    ledger, database = Ledger(engine), name_of(str(engine.url))
    segments = Segments(1, 1, f"[{record_text('r')}]", 1)
    await ledger.take("j", segments, position=1, complete_through_us=100)
    await hold_rows(engine, "usage_records", where="NEW.outcome = 'correction'")

    async def correct() -> Corrected:
        wanted = Correction(correction_id="c", request_id="r", rows=-1, units=-1)
        async with engine.begin() as connection:
            return await add_correction(connection, wanted, now_us=200, is_forced=False)

    async with engine.begin() as holder:
        await holder.execute(text(f"SELECT pg_advisory_xact_lock({LATE_LOCK})"))
        correcting = asyncio.create_task(correct())
        await asyncio.to_thread(postgres.wait_for_locks, database, count=1)
        taking = asyncio.create_task(ledger.take("j", None, position=1, complete_through_us=1000))
        await asyncio.to_thread(postgres.wait_for_locks, database, count=2)
        before_us = await promised(engine)
    corrected = await correcting
    await taking
    assert before_us <= corrected.counted_at_us


async def test_same_records_from_two_sides_are_taken_once(engine: AsyncEngine) -> None:
    """One waits for the other, and finds everything there."""
    ledger = Ledger(engine)
    rows = [record_text(f"r{number}") for number in range(500)]
    sides = {"a": rows, "b": rows[::-1]}
    segments = {
        name: Segments(1, 1, f"[{','.join(side)}]", len(side)) for name, side in sides.items()
    }
    await asyncio.gather(
        *(
            ledger.take(name, taken, position=1, complete_through_us=0)
            for name, taken in segments.items()
        )
    )
    assert ledger.conflicts == 0
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM usage_records")) == len(rows)
