"""Records that clash with what was billed, on the command line."""

import asyncio

import orjson

from gateway.database import create_engine
from gateway.usage.ledger import Ledger
from gateway.usage.record import UsageRecord
from gateway.usage.segment_file import Segments
from tests.unit.gateway.cli.terminal import Terminal
from tests.unit.gateway.usage.conftest import record_of


async def take(url: str, *records: UsageRecord) -> None:
    """Deliver records, each in a lot of its own."""
    engine = create_engine(url)
    for position, record in enumerate(records, 1):
        segments = Segments(position, position, orjson.dumps([tuple(record)]).decode(), 1)
        await Ledger(engine).take("j", segments, position=position, complete_through_us=0)
    await engine.dispose()


def test_conflict_is_shown_with_what_was_billed(terminal: Terminal, migrated_sqlite: str) -> None:
    """A person sees what is not the same; a program gets both records."""
    billed, refused = record_of("r1", units=1), record_of("r1", units=3)
    asyncio.run(take(migrated_sqlite, billed, refused))
    reader = Terminal(terminal.settings | {"TOLLGATE_DATABASE_URL": migrated_sqlite})
    heading, line = reader.run("usage", "conflicts").out.splitlines()
    assert heading.split() == ["REQUEST_ID", "TENANT_ID", "UNITS", "JOURNAL_ID", "BILLED"]
    assert line.split() == ["r1", "ten_a", "3", "j", "units=1"]
    assert reader.run("usage", "conflicts", "--json").document["data"] == [
        {
            "request_id": "r1",
            "journal_id": "j",
            "refused": refused._asdict(),
            "billed": billed._asdict(),
            "differences": ["units"],
        }
    ]


def test_without_conflicts_the_list_is_empty(migrated: Terminal) -> None:
    """As it should always be."""
    assert migrated.run("usage", "conflicts", "--json").document == {"data": [], "next": None}
