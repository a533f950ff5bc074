"""Read what the journals of a data folder hold, beside the workers that write them."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from gateway.usage.errors import JournalUnavailable


class HeldRecord(NamedTuple):
    """A record that is on disk and may not be in the ledger yet."""

    journal: str
    request_id: str
    occurred_at_us: int
    tenant_id: str
    model: str
    version: str
    rows: int
    units: int


def read_journals(folder: Path) -> Iterator[HeldRecord]:
    """Read every record of every journal; nothing is locked for longer than one segment.

    Raises:
        JournalUnavailable: a journal cannot be read.
    """
    for path in sorted(folder.glob("worker-*.db")):
        try:
            yield from _read(path)
        except (sqlite3.Error, OSError, ValueError) as error:
            raise JournalUnavailable(f"{path}: {error}") from error


def _read(path: Path) -> Iterator[HeldRecord]:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
    with contextlib.closing(connection):
        position = 0
        query = "SELECT position, records FROM segments WHERE position > ? ORDER BY position"
        while (found := connection.execute(f"{query} LIMIT 1", (position,)).fetchone()) is not None:
            position, records = found
            for record in json.loads(f"[{records}]"):
                yield HeldRecord(path.stem, *record[:3], *record[4:6], *record[7:9])
