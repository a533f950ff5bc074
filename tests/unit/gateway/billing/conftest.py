"""A ledger of either kind in the night after November 2026, and the store that closes months."""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from auth.audit import Entry
from auth.audit_log import read_entries
from auth.generation import Generation
from gateway.billing.period_store import PeriodStore
from gateway.database import create_engine
from gateway.moments import microseconds
from gateway.usage.chain import MEMBERS, Link
from gateway.usage.ledger import Ledger
from gateway.usage.period_records import PeriodRecord
from gateway.usage.periods import period_start_us
from gateway.usage.record import UsageRecord
from gateway.usage.segment_file import Segments
from gateway.usage.tables import usage_records
from gateway.usage.verifying import verify_period
from tests.actors import TESTER
from tests.unit.auth.conftest import PEPPERS, SEALER, FakeClock
from tests.unit.gateway.usage.conftest import record_of

NOVEMBER = 202611
DECEMBER = 202612
MIDNIGHT_US = period_start_us(DECEMBER)
SPARE = 9_000
"""A number that no record has."""

TOTALS = ("hours", "days", "months")
"""What the tables of totals are over."""

COPIED = ", ".join(name for name in MEMBERS if name not in ("sequence", "request_id"))
"""What a record has besides what no other has."""

NIGHT = datetime(2026, 12, 1, 0, 5, tzinfo=UTC)


@dataclass
class Books:
    """A ledger, the store that closes its months, and the clock of both."""

    engine: AsyncEngine
    store: PeriodStore
    clock: FakeClock
    ledger: Ledger
    position: int = 0
    told: list[int] = field(default_factory=list)
    """The numbers that a chain came through."""

    @property
    def now_us(self) -> int:
        """Read the clock."""
        return microseconds(self.clock.now)

    async def deliver(
        self, records: Sequence[UsageRecord], *, journal_id: str = "j", through_us: int = 0
    ) -> None:
        """Let a journal deliver records and promise a moment."""
        self.position += 1
        rows = b",".join(orjson.dumps(tuple(record)) for record in records).decode()
        segments = Segments(self.position, 1, f"[{rows}]", len(records)) if records else None
        await self.ledger.take(
            journal_id,
            segments,
            position=self.position,
            complete_through_us=through_us or self.now_us,
        )

    async def close(self, period: int = NOVEMBER) -> PeriodRecord:
        """Close a month."""
        return await self.store.close(
            period, actor=TESTER, on_lot=self._tell, may_go_on=lambda: True
        )

    async def verify(self, period: int = NOVEMBER) -> PeriodRecord:
        """Verify a month."""
        return await verify_period(self.engine, period, on_lot=lambda _link: None)

    async def run(self, *statements: str, **values: int) -> None:
        """Do something to the database behind the server's back."""
        async with self.engine.begin() as connection:
            for statement in statements:
                await connection.execute(text(statement), values)

    async def exchange(self, one: int, other: int) -> None:
        """Let two records change places."""
        place = "UPDATE usage_records SET sequence = :after WHERE sequence = :before"
        for before, after in ((one, SPARE), (other, one), (SPARE, other)):
            await self.run(place, before=before, after=after)

    async def unlock(self) -> None:
        """Take away what keeps closed months from being changed."""
        if self.engine.dialect.name == "sqlite":
            async with self.engine.connect() as connection:
                query = text("SELECT name FROM sqlite_master WHERE type = 'trigger'")
                names = [
                    name for name in await connection.scalars(query) if name.startswith("usage_")
                ]
            await self.run(*(f"DROP TRIGGER {name}" for name in names))
            return
        tables = ("records", "periods", "book", "checkpoints", "period_totals", *TOTALS)
        await self.run(*(f"ALTER TABLE usage_{name} DISABLE TRIGGER USER" for name in tables))

    async def sequences(self, period: int) -> list[str]:
        """Return the ids of the requests that count in a month, in order of sequence."""
        row = usage_records.c
        query = select(row.request_id).where(row.period == period).order_by(row.sequence)
        async with self.engine.connect() as connection:
            return list(await connection.scalars(query))

    async def audited(self) -> list[Entry]:
        """Read the audit log."""
        async with self.engine.connect() as connection:
            return await read_entries(connection, after=0, limit=1000)

    def _tell(self, _record: PeriodRecord, link: Link) -> None:
        self.told.append(link.through_sequence)


def november(*names: str, **changes: object) -> list[UsageRecord]:
    """Make records of the last minutes of November."""
    return [
        record_of(name, occurred_at_us=MIDNIGHT_US - 60_000_000 + place, **changes)
        for place, name in enumerate(names)
    ]


def december(*names: str, **changes: object) -> list[UsageRecord]:
    """Make records of the first moments of December."""
    return [
        record_of(name, occurred_at_us=MIDNIGHT_US + place, **changes)
        for place, name in enumerate(names)
    ]


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock five minutes past midnight."""
    return FakeClock(NIGHT)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """Open the records as the server does."""
    engine = create_engine(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
def generation(tmp_path: Path) -> Iterator[Generation]:
    """Map the change counter as the server does."""
    generation = Generation(tmp_path / "generation")
    yield generation
    generation.close()


@pytest.fixture
def books(engine: AsyncEngine, generation: Generation, clock: FakeClock) -> Books:
    """Return an empty ledger."""
    store = PeriodStore(
        engine, pepper=PEPPERS, sealer=SEALER, generation=generation, now=clock.aware
    )
    return Books(engine, store, clock, Ledger(engine))
