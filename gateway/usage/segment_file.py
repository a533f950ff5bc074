"""The journal's file: SQLite in WAL mode, where a commit returns after its fsync.

Blocking; one writer at a time and one reader at a time, each on a connection of its own, so that a
long read never holds a commit up.
"""

import contextlib
import fcntl
import importlib
import os
import sqlite3
import uuid
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from gateway.usage import answers
from gateway.usage.errors import JournalDamaged, JournalInUse, JournalUnavailable

_PRIVATE = 0o600
WORTHWHILE_PAGES = 4096
"""Fewer free pages (16 MiB) are left in the file, for the next records."""

_LEAST_FREE_SHARE = 8
_PRIMARY_CODE = 0xFF
"""The part of SQLite's error code that names the kind; the rest is detail."""

_PRAGMAS = ("busy_timeout = 5000", "journal_mode = WAL", "synchronous = FULL")
SEGMENTS_SCHEMA = """
CREATE TABLE IF NOT EXISTS journal (journal_id TEXT NOT NULL, discarded_through INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS segments (
    position INTEGER PRIMARY KEY, records TEXT NOT NULL, record_count INTEGER NOT NULL,
    checksum INTEGER
);
CREATE TABLE IF NOT EXISTS probe (padding BLOB NOT NULL);
"""
_COLUMNS = "SELECT name FROM pragma_table_info('segments')"
_ADD_CHECKSUM = "ALTER TABLE segments ADD COLUMN checksum INTEGER"
_APPEND = "INSERT INTO segments (position, records, record_count, checksum) VALUES (?, ?, ?, ?)"
_READ = """
SELECT position, records, record_count, checksum FROM segments
WHERE position > ? ORDER BY position LIMIT ?
"""
_RENAME = "UPDATE journal SET journal_id = ?, discarded_through = 0"
_HELD = "SELECT coalesce(sum(length(records)), 0) FROM segments WHERE position <= ?"
_LAST = (
    "SELECT max(coalesce(max(position), 0), (SELECT discarded_through FROM journal)) FROM segments"
)


class Segments(NamedTuple):
    """Consecutive segments of a journal as one JSON array of records."""

    through: int
    """The position of the last of them."""

    length: int
    records: str

    record_count: int
    """How many records stand in the array."""


class SegmentFile:
    """Append-only segments of usage records, each durable when `append` returns.

    A segment is what one flush wrote: JSON arrays joined by commas. Positions only grow, also over
    restarts and discards: the ledger remembers the last one it has taken. In a file that was put
    back from a copy they start again where the copy ended, so it takes a new id (`rename`).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = -1
        self.position = 0
        self.discarded_through = 0
        """The last position that was discarded under the name that the file has."""

        self.journal_id = ""

    def open(self) -> None:
        """Lock the file, create what is missing, and find the last position.

        Raises:
            JournalInUse: another process (or journal object) holds it.
            JournalDamaged: it is not what was written.
            JournalUnavailable: it cannot be opened.
        """
        try:
            self._take_lock()
            check_log(self._path)
            self._writer = self._connect()
            self._reader = self._connect()
            self._prepare()
            sync_folder(self._path.parent)
        except JournalDamaged:
            self._drop_lock()
            raise
        except (OSError, sqlite3.Error) as error:
            self._drop_lock()
            raise self.failure(error, "opening") from error
        self._append_cursor = self._writer.cursor()
        with contextlib.suppress(sqlite3.OperationalError):  # a full disk must not stop a start
            _empty_log(self._writer, self._path)
            self._writer.execute("DELETE FROM probe WHERE true")  # else it writes an empty page

    def close(self) -> None:
        """Close the file and let others have it."""
        self._reader.close()
        self._writer.close()
        self._drop_lock()

    def append(self, records: str, record_count: int) -> None:
        """Write one segment and return when it is on disk.

        Cost: one statement in autocommit, so the GIL is given up once, around write and fsync.
        """
        self.position = self._insert(records, record_count)

    def append_with_answers(
        self, records: str, record_count: int, rows: Sequence[answers.Row]
    ) -> answers.Freed:
        """Write one segment and the answers of some of its records with one fsync, or neither.

        Returns what older answers under the same keys took.
        """
        with self._writer:
            self._writer.execute("BEGIN IMMEDIATE")
            position = self._insert(records, record_count)
            freed = answers.write_answers(self._writer, rows)
        self.position = position
        return freed

    def _insert(self, records: str, record_count: int) -> int:
        """Write one segment behind the last one that is durable, and return its position."""
        position = self.position + 1
        row = (position, records, record_count, checksum_of(records))
        self._append_cursor.execute(_APPEND, row)
        return position

    def forget_expired(self, now_us: int) -> answers.Freed:
        """Drop a few of the answers that have expired, and with the last their room on the disk."""
        freed = answers.forget_expired(self._writer, now_us)
        if 0 < len(freed) < answers.MOST_FORGOTTEN:
            with contextlib.suppress(sqlite3.Error):  # as on a full disk; another time
                self._compact()
        return freed

    def first_expiry(self) -> int | None:
        """Return when the first of the answers expires; None where there is none."""
        return answers.first_expiry(self._writer)

    def held_answers(self) -> answers.Freed:
        """Return how many bytes each tenant's answers take."""
        return answers.held_answers(self._writer)

    def probe(self, size_bytes: int) -> None:
        """Find out whether a segment of this size could be written, and leave nothing behind."""
        self._writer.execute("INSERT INTO probe (padding) VALUES (zeroblob(?))", (size_bytes,))
        self._writer.execute("DELETE FROM probe")

    def write_over(self) -> None:
        """Write something else where a commit that failed may stand in the log.

        Threat: SQLite takes it back, but what it wrote before its fsync failed stays in the file,
        and would count after a kill: somebody who was refused would be billed.
        """
        with contextlib.suppress(sqlite3.Error):
            self.probe(0)

    def read(self, after: int, limit: int) -> Segments | None:
        """Return up to `limit` segments past a position, joined; None at the end.

        Threat: SQLite has no checksums, so a number that turned into another one on the disk would
        be billed as if it had been written.

        Raises:
            JournalDamaged: one is not what was written.
        """
        found = self._reader.execute(_READ, (after, limit)).fetchall()
        if not found:
            return None
        for position, records, _, checksum in found:
            if checksum is not None and checksum != checksum_of(records):
                raise JournalDamaged(str(self._path), f"segment {position} has changed")
        texts = ",".join([records for _, records, _, _ in found])
        record_count = sum([count for _, _, count, _ in found])
        return Segments(found[-1][0], len(found), f"[{texts}]", record_count)

    def failure(self, error: Exception, doing: str) -> JournalUnavailable:
        """Say what an error of the file means: that it is damaged, or only unavailable."""
        if is_damage(error):
            return JournalDamaged(str(self._path), f"{doing}: {error}")
        return JournalUnavailable(f"{self._path}: {doing}: {error}")

    def discard(self, through: int) -> int:
        """Drop the segments up to a position and return how many characters they held."""
        (freed,) = self._writer.execute(_HELD, (through,)).fetchone()
        with self._writer:
            self._writer.execute("BEGIN IMMEDIATE")
            self._writer.execute(
                "UPDATE journal SET discarded_through = max(discarded_through, ?)", (through,)
            )
            self._writer.execute("DELETE FROM segments WHERE position <= ?", (through,))
        self.discarded_through = max(self.discarded_through, through)
        with contextlib.suppress(sqlite3.Error):  # as on a full disk; another time
            self._compact()
        return int(freed)

    def _compact(self) -> None:
        """Give the disk back what an outage of the ledger took, once hardly anything is held.

        Cost: what is held is written once more, and that is little.
        """
        (pages,) = self._writer.execute("PRAGMA page_count").fetchone()
        (free,) = self._writer.execute("PRAGMA freelist_count").fetchone()
        if free >= WORTHWHILE_PAGES and pages - free <= free // _LEAST_FREE_SHARE:
            self._writer.execute("VACUUM")

    def held(self) -> int:
        """Return how many characters the segments hold."""
        (held,) = self._writer.execute(_HELD, (self.position,)).fetchone()
        return int(held)

    def rename(self) -> str:
        """Take a new id, on disk before this returns; what is held stays, with its positions."""
        journal_id = uuid.uuid4().hex
        self._writer.execute(_RENAME, (journal_id,))
        self.journal_id, self.discarded_through = journal_id, 0
        return journal_id

    def _prepare(self) -> None:
        self._writer.executescript(SEGMENTS_SCHEMA + answers.SCHEMA)
        if ("checksum",) not in self._writer.execute(_COLUMNS).fetchall():
            self._writer.execute(_ADD_CHECKSUM)  # it was made before there were any
        self._writer.execute(
            "INSERT INTO journal SELECT ?, 0 WHERE NOT EXISTS (SELECT 1 FROM journal)",
            (uuid.uuid4().hex,),
        )
        name = self._writer.execute("SELECT journal_id, discarded_through FROM journal")
        self.journal_id, self.discarded_through = name.fetchone()
        (self.position,) = self._writer.execute(_LAST).fetchone()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}").fetchall()
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _take_lock(self) -> None:
        """Lock a file beside the journal.

        Threat: two processes that append to one journal would reuse positions, and the ledger
        would skip what it thinks it has. (Not the database file itself: closing any descriptor of
        it would drop SQLite's own locks.)
        """
        if not self._path.exists():  # one that nobody writes to keeps its time
            self._path.touch(mode=_PRIVATE)
        self._lock = _open_lock(self._path)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._drop_lock()
            raise JournalInUse(str(self._path)) from None

    def _drop_lock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def checksum_of(records: str) -> int:
    """Return the CRC-32 of a segment."""
    return zlib.crc32(records.encode(errors="surrogatepass"))


def is_damage(error: Exception) -> bool:
    """Say whether SQLite found that a file is not what was written."""
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def log_of(path: Path) -> Path:
    """Name the write-ahead log of a journal."""
    return path.with_name(f"{path.name}-wal")


def load_log_reader() -> ModuleType:
    """Load what reads logs, with numpy; commands on records mostly need neither."""
    return importlib.import_module("gateway.usage.write_ahead_log")


def check_log(path: Path) -> None:
    """Pass if the log of a journal is what was written; call it before SQLite opens the journal.

    Threat: SQLite takes a frame that changed on the disk for the end of the log, and what was
    answered after it would be on no bill.

    Raises:
        JournalDamaged: it is not.
        OSError: it cannot be read.
    """
    if not log_bytes(path):
        return
    damage: str | None = load_log_reader().damage_in_log(log_of(path), path)
    if damage is not None:
        raise JournalDamaged(str(path), damage)


def log_bytes(path: Path) -> int:
    """Return how long a journal's write-ahead log is; 0 where it has none."""
    try:
        return log_of(path).stat().st_size
    except FileNotFoundError:
        return 0


def settle_log(path: Path) -> bool:
    """Decide what is in a journal that nobody holds; say whether nobody did.

    Raises:
        JournalDamaged: its log is not what was written.
        sqlite3.Error: it cannot be read or written.
    """
    try:
        with locked(path):
            check_log(path)
            with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
                return _empty_log(connection, path)
    except JournalInUse:
        return False


def _empty_log(connection: sqlite3.Connection, path: Path) -> bool:
    """Move what is committed out of a log and cut it to nothing; say whether that was done.

    Behind the last commit there may be one that a dead process never finished; SQLite would bring
    it back whenever the next opens the file alone.
    """
    if not log_bytes(path):
        return True
    (is_busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not is_busy


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a journal's file for the length of a block, without opening it.

    Raises:
        JournalInUse: somebody holds it.
    """
    lock = _open_lock(path)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise JournalInUse(str(path)) from None
    finally:
        os.close(lock)


def sync_file(path: Path) -> None:
    """Make what a file holds durable."""
    _sync(path, os.O_RDWR)


def sync_folder(folder: Path) -> None:
    """Make the names of new files durable; their contents alone would not survive a power cut."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _open_lock(path: Path) -> int:
    """Open the file beside a journal whose lock its holder has."""
    flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC
    return os.open(path.with_name(f"{path.name}.lock"), flags, _PRIVATE)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
