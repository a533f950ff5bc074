"""Damage in SQLite's write-ahead log is told from what a crash leaves at its end."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gateway.usage.write_ahead_log import Log, damage_in_log, replay_log

HEAD, FRAME, PAGE = 32, 24, 4096
COMMITS = 30
SETTINGS = settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


class Files:
    """A database as a kill leaves it, with its log."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.database = folder / "journal.db"
        self.log = folder / "journal.db-wal"
        self.reference = b""

    @property
    def damage(self) -> str | None:
        """What is said of the log."""
        return damage_in_log(self.log, self.database)

    @property
    def commits(self) -> list[int]:
        """The last frames of the commits in the log as it was written."""
        size = FRAME + PAGE
        heads = range(HEAD, len(self.reference), size)
        return [
            number
            for number, at in enumerate(heads)
            if int.from_bytes(self.reference[at + 4 : at + 8], "big")
        ]

    def write(self, content: bytes) -> None:
        """Put another log in the place of the one that was written."""
        self.log.write_bytes(content)

    def values(self) -> list[str]:
        """Read the table with SQLite, which takes what it believes of the log."""
        with closing(sqlite3.connect(self.database)) as connection:
            return [text for (text,) in connection.execute("SELECT text FROM lines ORDER BY id")]


def opened(path: Path) -> sqlite3.Connection:
    """Open a database as a journal is."""
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "wal_autocheckpoint = 0"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    return connection


def add(connection: sqlite3.Connection, *texts: str) -> None:
    """Commit lines together."""
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("INSERT INTO lines (text) VALUES (?)", [(text,) for text in texts])
    connection.execute("COMMIT")


def copied(source: Path, folder: Path) -> Files:
    """Take what a kill would leave."""
    files = Files(folder)
    shutil.copyfile(source, files.database)
    shutil.copyfile(f"{source}-wal", files.log)
    files.reference = files.log.read_bytes()
    return files


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database with a table, whose log begins anew."""
    with closing(opened(tmp_path / "writer.db")) as connection:
        connection.execute("CREATE TABLE lines (id INTEGER PRIMARY KEY, text TEXT)")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        yield connection


@pytest.fixture
def files(tmp_path: Path, writer: sqlite3.Connection) -> Files:
    """Take the log of thirty commits of one to three pages."""
    for number in range(COMMITS):
        add(writer, *(f"{number:04}" + "x" * 2500 for _ in range(1 + number % 3)))
    return copied(tmp_path / "writer.db", tmp_path / "killed")


def test_whole_log_is_no_damage(files: Files) -> None:
    """Every frame follows from the one before it, by SQLite's own sums."""
    log = Log.read(files.log, files.database)
    assert log is not None
    assert log.follows.all()
    assert (log.damaged_at, log.end) == (None, len(log.follows))
    assert np.flatnonzero(log.commits).tolist() == files.commits
    assert files.damage is None


@pytest.mark.parametrize("length", [0, 1, HEAD - 1, HEAD, HEAD + FRAME, HEAD + FRAME + PAGE - 1])
def test_log_without_a_frame_is_no_damage(files: Files, length: int) -> None:
    """As one that was just made, or that never was."""
    files.write(files.reference[:length])
    assert files.damage is None
    files.log.unlink()
    assert files.damage is None


@SETTINGS
@given(data=st.data())
def test_what_a_crash_tears_is_no_damage(files: Files, data: st.DataObject) -> None:
    """The frames of the last commit may be there, or not, or have something else in them."""
    first = HEAD + (files.commits[-2] + 1) * (FRAME + PAGE)
    torn = bytearray(files.reference)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(first, len(torn) - 1))
        stop = data.draw(st.integers(start, len(torn)))
        torn[start:stop] = data.draw(st.sampled_from([b"\0", b"\xff", b"x"])) * (stop - start)
    files.write(bytes(torn[: data.draw(st.integers(first, len(torn)))]))
    assert files.damage is None


@SETTINGS
@given(data=st.data())
def test_log_that_is_cut_is_no_damage(files: Files, data: st.DataObject) -> None:
    """Nobody can tell it from one that ended there."""
    files.write(files.reference[: data.draw(st.integers(0, len(files.reference)))])
    assert files.damage is None


@SETTINGS
@given(data=st.data())
def test_any_bit_of_what_was_durable_is_found(files: Files, data: st.DataObject) -> None:
    """Wherever it stands, as long as a commit and the beginning of another are whole behind it."""
    size = FRAME + PAGE
    at = data.draw(st.integers(0, HEAD + files.commits[-4] * size))
    changed = bytearray(files.reference)
    changed[at] ^= 1 << data.draw(st.integers(0, 7))
    files.write(bytes(changed))
    told = files.damage
    assert told is not None
    if at >= HEAD:
        frame = (at - HEAD) // size
        assert told == f"frame {frame + 1} of its write-ahead log has changed"


@SETTINGS
@given(data=st.data())
def test_any_lost_block_of_what_was_durable_is_found(files: Files, data: st.DataObject) -> None:
    """A sector that reads as zeros spans two frames, and what is behind it is whole."""
    block = data.draw(st.sampled_from([512, 4096]))
    last = HEAD + files.commits[-5] * (FRAME + PAGE) - block
    at = data.draw(st.integers(0, last // block)) * block
    files.write(files.reference[:at] + bytes(block) + files.reference[at + block :])
    assume(files.log.read_bytes() != files.reference)
    assert files.damage is not None


def test_replay_brings_back_what_stands_behind_the_damage(files: Files) -> None:
    """SQLite alone keeps what is before it."""
    changed = bytearray(files.reference)
    changed[files.reference.index(b"0007xxx") + 100] = ord("y")
    files.write(bytes(changed))
    replay_log(files.log, files.database)
    assert not files.log.exists()
    values = files.values()
    numbers = [int(value[:4]) for value in values]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(COMMITS))
    assert sum("y" in value for value in values) == 1


def test_replay_of_a_log_without_its_head_brings_all_back(files: Files) -> None:
    """The frames say themselves to which log they belong."""
    files.write(bytes(HEAD) + files.reference[HEAD:])
    assert files.damage == "the head of its write-ahead log has changed"
    replay_log(files.log, files.database)
    assert {int(value[:4]) for value in files.values()} == set(range(COMMITS))


def test_replay_leaves_out_what_was_torn(files: Files) -> None:
    """The last commit, whose end is not there, was never answered."""
    files.write(files.reference[:-PAGE])
    replay_log(files.log, files.database)
    assert {int(value[:4]) for value in files.values()} == set(range(COMMITS - 1))


def test_what_was_taken_back_is_no_damage(tmp_path: Path, writer: sqlite3.Connection) -> None:
    """It stays in the log behind shorter commits, which have written over its beginning."""
    writer.execute("PRAGMA cache_size = 4")
    add(writer, "before")
    for pages in (40, 25):
        writer.execute("BEGIN IMMEDIATE")
        for number in range(pages):
            writer.execute("INSERT INTO lines (text) VALUES (?)", (f"gone {number}" + "x" * 4000,))
        writer.execute("ROLLBACK")
    for number in range(3):
        add(writer, f"kept {number}")
        files = copied(tmp_path / "writer.db", tmp_path / f"killed-{number}")
        log = Log.read(files.log, files.database)
        assert log is not None
        assert len(log.follows) > log.end + 10
        assert files.damage is None
        replay_log(files.log, files.database)
        assert files.values() == ["before", *(f"kept {each}" for each in range(number + 1))]


def test_frames_of_an_earlier_round_are_no_damage(
    tmp_path: Path, writer: sqlite3.Connection
) -> None:
    """SQLite begins again at the front of its log once all of it is in the database."""
    for number in range(COMMITS):
        add(writer, f"{number:04}" + "x" * 2500)
    writer.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
    for number in range(3):
        add(writer, f"new {number}")
        files = copied(tmp_path / "writer.db", tmp_path / f"killed-{number}")
        log = Log.read(files.log, files.database)
        assert log is not None
        assert len(log.follows) > log.end > number
        assert files.damage is None
