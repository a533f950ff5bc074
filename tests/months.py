"""Put records of past months on a bill, past the server and its journals."""

import asyncio
from collections.abc import Sequence

import orjson

from gateway.database import create_engine
from gateway.usage.ledger import Ledger
from gateway.usage.record import UsageRecord
from gateway.usage.segment_file import Segments


def deliver_records(url: str, records: Sequence[UsageRecord], *, journal_id: str = "past") -> None:
    """Deliver records as a journal does that leaves at once."""
    asyncio.run(_deliver(url, records, journal_id=journal_id))


async def _deliver(url: str, records: Sequence[UsageRecord], *, journal_id: str) -> None:
    engine = create_engine(url)
    ledger = Ledger(engine)
    rows = b",".join(orjson.dumps(tuple(record)) for record in records).decode()
    segments = Segments(1, 1, f"[{rows}]", len(records))
    await ledger.take(journal_id, segments, position=1, complete_through_us=0)
    await ledger.leave(journal_id)
    await engine.dispose()
