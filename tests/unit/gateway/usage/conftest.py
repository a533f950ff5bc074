"""Journals, ledgers and clocks for the tests of usage."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.database import create_engine
from gateway.usage.journal import Journal
from gateway.usage.ledger import Ledger
from gateway.usage.record import UsageRecord
from gateway.usage.shipper import Shipper
from gateway.usage.tables import usage_records

START_US = 1_794_700_800_000_000
"""15 November 2026, 00:00 UTC."""


@dataclass
class Clock:
    """Wall and monotonic clocks that move when a test says so."""

    wall_us: int = START_US
    monotonic_seconds: float = 1000.0

    def now_us(self) -> int:
        """Read the wall clock."""
        return self.wall_us

    def monotonic(self) -> float:
        """Read the monotonic clock."""
        return self.monotonic_seconds


def record_of(request_id: str, **changes: object) -> UsageRecord:
    """Return a record of one row at `START_US`, changed as told."""
    plain = UsageRecord(
        request_id=request_id,
        occurred_at_us=START_US,
        tenant_id="ten_a",
        key_id="key_a",
        model="housing",
        version="1",
        protocol="v1",
        rows=1,
        units=1,
        is_test=False,
        queue_us=10,
        compute_us=20,
        bytes_in=30,
        bytes_out=40,
    )
    return plain._replace(**changes)  # type: ignore[arg-type]


@dataclass
class Pauses:
    """A pause of the background task that ends when the test says so."""

    asked: list[float] = field(default_factory=list)
    tick: asyncio.Event = field(default_factory=asyncio.Event)

    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def __call__(self, seconds: float) -> None:
        """Wait for the test."""
        async with self.arrived:
            self.asked.append(seconds)
            self.arrived.notify_all()
        await self.tick.wait()
        self.tick.clear()

    async def until(self, count: int) -> None:
        """Wait until so many pauses were asked for."""
        async with self.arrived:
            await self.arrived.wait_for(lambda: len(self.asked) >= count)


@dataclass
class Bill:
    """A journal on disk, a ledger, and the shippers between them."""

    path: Path
    engine: AsyncEngine
    clock: Clock
    serial: int = 0
    """The number of records that a property test has made."""

    def journal(self, *, max_bytes: int = 1 << 30, name: str = "journal.db") -> Journal:
        """Return a journal that is not open yet."""
        return Journal(
            self.path / name,
            max_bytes=max_bytes,
            now_us=self.clock.now_us,
            monotonic=self.clock.monotonic,
        )

    def shipper(
        self, journal: Journal, pauses: Pauses | None = None, *, is_alone: bool = False
    ) -> Shipper:
        """Return a shipper that has not started; nothing happens in its background by itself."""
        return Shipper(
            journal,
            Ledger(self.engine),
            interval_seconds=0.5,
            is_alone=is_alone,
            now_us=self.clock.now_us,
            pause=pauses or Pauses(),
        )

    def names(self, count: int) -> list[str]:
        """Return request ids that were not used before."""
        self.serial += count
        return [f"r{number}" for number in range(self.serial - count, self.serial)]

    async def records(self) -> list[UsageRecord]:
        """Return what the ledger holds, by request id."""
        columns = [usage_records.c[name] for name in UsageRecord._fields]
        async with self.engine.connect() as connection:
            found = await connection.execute(select(*columns).order_by("request_id"))
            return [UsageRecord(*row) for row in found]


@pytest.fixture
def clock() -> Clock:
    """Return clocks at `START_US`."""
    return Clock()


@pytest.fixture
async def bill(tmp_path: Path, database_url: str, clock: Clock) -> AsyncIterator[Bill]:
    """Return an empty bill, in either database."""
    engine = create_engine(database_url)
    yield Bill(tmp_path, engine, clock)
    await engine.dispose()


@pytest.fixture
async def journal(bill: Bill) -> AsyncIterator[Journal]:
    """Return an open journal, closed at the end if the test did not."""
    opened = bill.journal()
    await opened.open()
    yield opened
    await opened.close()
