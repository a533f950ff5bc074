"""Journals are read beside the worker that holds them."""

from pathlib import Path

import pytest

from gateway.evidence.journal_records import HeldRecord, read_journals
from gateway.usage.errors import JournalUnavailable
from gateway.usage.journal import Journal
from tests.receipt_books import OCCURRED_US, usage


async def test_records_are_read_while_the_journal_is_open(tmp_path: Path) -> None:
    """Every record of every segment, under the name of its file."""
    journal = Journal(tmp_path / "worker-3.db", max_bytes=1024 * 1024)
    await journal.open()
    for name in ("a", "b"):
        await journal.record(usage(name))
    found = list(read_journals(tmp_path))
    await journal.close()
    assert found == [
        HeldRecord("worker-3", name, OCCURRED_US, "tenant", "housing", "2", rows=1, units=3)
        for name in ("a", "b")
    ]


def test_journal_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """Silence would pass for an empty one."""
    (tmp_path / "worker-0.db").write_bytes(b"no database" * 1000)
    with pytest.raises(JournalUnavailable, match="worker-0"):
        list(read_journals(tmp_path))
