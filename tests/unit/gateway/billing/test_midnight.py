"""A month is closed while traffic crosses midnight: every record is in exactly one month.

Several journals with clocks that are apart record and deliver on both sides of midnight while
somebody closes the month again and again until it is.
"""

import asyncio
import contextlib
import itertools
from pathlib import Path

from sqlalchemy import select

from gateway.usage.errors import PeriodNotOver, PeriodWaits
from gateway.usage.journal import Journal
from gateway.usage.ledger import Ledger
from gateway.usage.period_records import PeriodRecord
from gateway.usage.shipper import Shipper
from gateway.usage.tables import usage_records
from tests.unit.gateway.billing.conftest import DECEMBER, MIDNIGHT_US, NOVEMBER, Books
from tests.unit.gateway.usage.conftest import record_of

JOURNALS = 4
RECORDS = 80
STEP_US = 10_000
SKEW_US = 150_000


class Ticking:
    """A clock of one journal that goes on whenever it is read, and is off from the others."""

    def __init__(self, *, skew_us: int) -> None:
        self._now_us = MIDNIGHT_US - RECORDS * STEP_US // 2 + skew_us

    def __call__(self) -> int:
        """Read the clock."""
        self._now_us += STEP_US
        return self._now_us


async def serve(books: Books, path: Path, joined: asyncio.Barrier, *, number: int) -> None:
    """Record and deliver under one journal, with a clock that crosses midnight on the way."""
    clock = Ticking(skew_us=(number - 1) * SKEW_US)
    journal = Journal(path / f"j{number}.db", max_bytes=1 << 30, now_us=clock)
    await journal.open()
    shipper = Shipper(journal, Ledger(books.engine), interval_seconds=0.001, now_us=clock)
    await shipper.start()
    await joined.wait()
    for name in range(RECORDS):
        moment_us = journal.stamp()
        await journal.record(record_of(f"{number}-{name}", occurred_at_us=moment_us))
        if name % 7 == number:
            await shipper.ship()
    await shipper.close()
    await journal.close()


async def close_when_it_can_be(books: Books, joined: asyncio.Barrier) -> PeriodRecord:
    """Close November as soon as all who serve have promised it."""
    await joined.wait()
    for _ in itertools.count():
        with contextlib.suppress(PeriodWaits, PeriodNotOver):
            return await books.close()
        await asyncio.sleep(0)
    raise AssertionError


async def test_every_record_is_in_exactly_one_month(books: Books, tmp_path: Path) -> None:
    """What occurred before midnight is in November, or came after it was sealed and is not."""
    joined = asyncio.Barrier(JOURNALS + 1)
    serving = [serve(books, tmp_path, joined, number=number) for number in range(JOURNALS)]
    closed, *_ = await asyncio.gather(close_when_it_can_be(books, joined), *serving)
    assert await books.verify() == closed
    row = usage_records.c
    async with books.engine.connect() as connection:
        query = select(row.request_id, row.occurred_at_us, row.counted_at_us, row.period)
        found = (await connection.execute(query)).all()
    assert len({one.request_id for one in found}) == len(found) == JOURNALS * RECORDS
    in_november = [one for one in found if one.period == NOVEMBER]
    assert len(in_november) == closed.record_count
    assert in_november
    for one in found:
        is_of_december = one.occurred_at_us >= MIDNIGHT_US
        assert one.period == (DECEMBER if is_of_december else NOVEMBER)
        assert one.counted_at_us == one.occurred_at_us
    books.clock.advance(40 * 86_400)
    following = await books.close(DECEMBER)
    assert (closed.record_count or 0) + (following.record_count or 0) == len(found)
    assert await books.verify(DECEMBER) == following
