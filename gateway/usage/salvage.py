"""Save what can be read of a damaged journal: whole segments in a new file, and a word on the rest.

The new file is a journal like any other that a worker left behind, under the same id and with the
same positions, so that a running server or the next start delivers it; what the ledger has already
is passed over by request id. The damaged file is kept aside and never written to.
"""

import contextlib
import json
import shutil
import sqlite3
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from gateway.usage.answers import SCHEMA as ANSWERS_SCHEMA
from gateway.usage.errors import JournalUnavailable
from gateway.usage.segment_file import (
    SEGMENTS_SCHEMA,
    checksum_of,
    load_log_reader,
    locked,
    log_of,
    sync_file,
    sync_folder,
)

MAX_SEGMENT_RECORDS: Final = 256
_LOG_SUFFIXES: Final = ("-wal", "-shm")
_SEGMENTS: Final = "SELECT position, records, record_count, checksum FROM segments"
_ADD_SEGMENT: Final = (
    "INSERT INTO segments (position, records, record_count, checksum) VALUES (?, ?, ?, ?)"
)
_ADD_ANSWER: Final = "INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)"
_ANSWERS = "SELECT * FROM answers ORDER BY key"


class _Segment(NamedTuple):
    position: int
    records: str
    record_count: int
    checksum: int | None

    def is_whole(self) -> bool:
        """Say whether it is what was written; one from before there were checksums, by its form."""
        if self.checksum is not None:
            return self.checksum == checksum_of(self.records)
        with contextlib.suppress(ValueError, TypeError):
            return len(json.loads(f"[{self.records}]")) == self.record_count
        return False


class Gap(NamedTuple):
    """Segments that cannot be read, and what the records around them say of their time."""

    first: int
    last: int | None
    """None where nobody can tell how many there are."""

    after_us: int | None
    """When the last record before them was made; None where there is none."""

    before_us: int | None
    """When the first record after them was made; None where there is none."""

    @property
    def most_records(self) -> int | None:
        """How many records are missing at most; None where nobody can tell."""
        return None if self.last is None else (self.last - self.first + 1) * MAX_SEGMENT_RECORDS


class Salvage(NamedTuple):
    """What was saved of a journal, and what was not."""

    journal_id: str
    """Under which the ledger knows it."""

    journal: Path
    """The new journal, which will be delivered."""

    set_aside: Path
    """The damaged file, as it was found."""

    segments: int
    records: int
    answers: int
    """Answers that are kept for retries."""

    gaps: tuple[Gap, ...]
    has_lost_answers: bool
    """Whether answers for retries were in what cannot be read."""


def salvage_journal(path: Path, *, stamp: str) -> Salvage:
    """Move what is readable of a journal that nobody holds to a new one beside it.

    At each moment all that can be read is in a journal that will be delivered. Running it again
    does no harm.

    Args:
        path: `worker-<slot>.db`.
        stamp: goes into the name under which the damaged file is kept.

    Raises:
        JournalInUse: a server holds it.
        JournalUnavailable: it is not there, or the folder cannot be written.
    """
    if not path.is_file():
        raise JournalUnavailable(f"{path}: there is no such file")
    try:
        with locked(path):
            return _salvage(path, stamp)
    except (OSError, sqlite3.Error) as error:
        raise JournalUnavailable(f"{path}: {error}") from error


def _salvage(path: Path, stamp: str) -> Salvage:
    """Read from a copy: SQLite would write the log that it finds into the damaged file."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".salvage-") as folder:
        copy = Path(folder) / "copy.db"
        for suffix in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(f"{path}{suffix}", f"{copy}{suffix}")
        _replay_damaged(copy)
        new = Path(folder) / "new.db"
        with contextlib.closing(sqlite3.connect(copy)) as reader:
            reader.text_factory = lambda content: content.decode(errors="replace")
            reader.execute("PRAGMA writable_schema = ON")  # a schema that is damaged is read, too
            found = _read_segments(reader)
            answers, has_lost_answers = _read_answers(reader)
            journal_id, discarded_through = _read_name(reader)
        whole = [segment for segment in found.segments if segment.is_whole()]
        name = (journal_id, discarded_through)
        _write(new, name=name, segments=whole, answers=answers)
        target = _free_slot(path.parent)
        new.rename(target)
    sync_folder(path.parent)
    set_aside = path.with_name(f"{path.name}.damaged-{stamp}")
    for suffix in ("", *_LOG_SUFFIXES):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(f"{path.name}{suffix}").rename(f"{set_aside}{suffix}")
    sync_folder(path.parent)
    records = sum(segment.record_count for segment in whole)
    gaps = tuple(_gaps(whole, discarded_through, found.last))
    parts = (journal_id, target, set_aside, len(whole), records, len(answers))
    return Salvage(*parts, gaps=gaps, has_lost_answers=has_lost_answers)


def _replay_damaged(copy: Path) -> None:
    """Take from a damaged log more than SQLite would."""
    logs = load_log_reader()
    if logs.damage_in_log(log_of(copy), copy) is not None:
        logs.replay_log(log_of(copy), copy)


class _Found(NamedTuple):
    segments: list[_Segment]
    """In the order of their positions."""

    last: int | None
    """The last position that was ever written; None where that cannot be read."""


def _read_segments(reader: sqlite3.Connection) -> _Found:
    """Read from both ends up to the damage, and one by one in between."""
    rising, is_whole = _walk(reader, f"{_SEGMENTS} ORDER BY position")
    if is_whole:
        return _Found(rising, rising[-1].position if rising else 0)
    falling, _ = _walk(reader, f"{_SEGMENTS} ORDER BY position DESC")
    found = {segment.position: segment for segment in (*rising, *falling)}
    if rising and falling:
        query = f"{_SEGMENTS} WHERE position = ?"
        for position in range(rising[-1].position + 1, falling[-1].position):
            found |= {each.position: each for each in _walk(reader, query, position)[0]}
    ordered = [found[position] for position in sorted(found)]
    return _Found(ordered, falling[0].position if falling else None)


def _walk(reader: sqlite3.Connection, query: str, *values: int) -> tuple[list[_Segment], bool]:
    """Read segments until the damage; say whether there was none."""
    rows, is_whole = _rows(reader, query, *values)
    segments = [
        _Segment(position, str(records), record_count, checksum)
        for position, records, record_count, checksum in rows
    ]
    return segments, is_whole


def _rows(
    reader: sqlite3.Connection, query: str, *values: int
) -> tuple[list[tuple[Any, ...]], bool]:
    """Read until the damage; say whether there was none."""
    rows: list[tuple[Any, ...]] = []
    with contextlib.suppress(sqlite3.DatabaseError):
        for row in reader.execute(query, values):
            rows.append(row)  # noqa: PERF402 - what was read before the damage is kept
        return rows, True
    return rows, False


def _read_answers(reader: sqlite3.Connection) -> tuple[list[tuple[Any, ...]], bool]:
    """Read the answers that are kept for retries; say whether some cannot be read."""
    rising, is_whole = _rows(reader, _ANSWERS)
    falling = [] if is_whole else _rows(reader, f"{_ANSWERS} DESC")[0]
    answers = {row[0]: row for row in (*rising, *falling)}
    return list(answers.values()), not is_whole


def _read_name(reader: sqlite3.Connection) -> tuple[str, int]:
    """Read whose journal it is; one that nobody can tell is a new one for the ledger."""
    with contextlib.suppress(sqlite3.DatabaseError, TypeError, ValueError):
        journal_id, discarded_through = reader.execute("SELECT * FROM journal").fetchone()
        return str(journal_id), int(discarded_through)
    return uuid.uuid4().hex, 0


def _write(
    path: Path,
    *,
    name: tuple[str, int],
    segments: list[_Segment],
    answers: list[tuple[Any, ...]],
) -> None:
    """Write a journal that is on disk when this returns."""
    with contextlib.closing(sqlite3.connect(path)) as writer:
        writer.executescript(SEGMENTS_SCHEMA + ANSWERS_SCHEMA)
        with writer:
            writer.execute("INSERT INTO journal VALUES (?, ?)", name)
            writer.executemany(_ADD_SEGMENT, segments)
            writer.executemany(_ADD_ANSWER, answers)
    path.chmod(0o600)
    sync_file(path)


def _free_slot(folder: Path) -> Path:
    """Name a journal that is not there yet."""
    slot = 0
    while (path := folder / f"worker-{slot}.db").exists():
        slot += 1
    return path


def _gaps(whole: list[_Segment], discarded_through: int, last: int | None) -> Iterator[Gap]:
    """List what is missing behind what the ledger had taken."""
    before: _Segment | None = None
    end = discarded_through
    for segment in whole:
        if segment.position > end + 1:
            yield Gap(end + 1, segment.position - 1, _time_of(before, -1), _time_of(segment, 0))
        before, end = segment, max(end, segment.position)
    if last is None or last > end:
        yield Gap(end + 1, last, _time_of(before, -1), None)


def _time_of(segment: _Segment | None, index: int) -> int | None:
    return None if segment is None else int(json.loads(f"[{segment.records}]")[index][1])
