"""A journal that was full during an outage is small again afterwards."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.usage.segment_file import WORTHWHILE_PAGES, SegmentFile

PAGE_BYTES = 4096
PIECE = "x" * 2**20
PIECES = WORTHWHILE_PAGES * PAGE_BYTES // len(PIECE) + 8


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[SegmentFile]:
    """Open a journal that holds more than is left lying about."""
    file = SegmentFile(tmp_path / "journal.db")
    file.open()
    for _ in range(PIECES):
        file.append(PIECE, 1)
    yield file
    file.close()


def size_of(folder: Path) -> int:
    """Add up the journal and its log."""
    return sum(path.stat().st_size for path in folder.glob("journal.db*"))


def test_delivered_journal_gives_the_disk_back(filled: SegmentFile, tmp_path: Path) -> None:
    """Its positions go on, and what is held is held still."""
    filled.append("last", 1)
    filled.discard(PIECES)
    filled.close()
    assert size_of(tmp_path) < PAGE_BYTES * WORTHWHILE_PAGES // 8
    filled.open()
    segments = filled.read(0, 10)
    assert segments is not None
    assert (filled.position, segments.records) == (PIECES + 1, "[last]")


def test_room_that_was_used_is_used_again(filled: SegmentFile, tmp_path: Path) -> None:
    """A journal in use does not grow with what it has delivered."""
    filled.discard(PIECES // 2)
    before = size_of(tmp_path)
    for _ in range(PIECES // 2):
        filled.append(PIECE, 1)
    assert size_of(tmp_path) < before + PAGE_BYTES * WORTHWHILE_PAGES // 8
