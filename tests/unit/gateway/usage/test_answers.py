"""Answers that are kept: with their record or not at all, for a day, within their room."""

import asyncio
import contextlib
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.usage.answer_reader import AnswerReader
from gateway.usage.answers import KEPT_SECONDS, AnswerRoom, KeptAnswer
from gateway.usage.claims import Claims
from gateway.usage.errors import AnswersFull, JournalUnavailable
from gateway.usage.journal import Journal
from gateway.usage.segment_file import log_of
from tests.unit.gateway.usage.conftest import Clock, record_of

KEY = b"k" * 32
DAY_US = KEPT_SECONDS * 1_000_000

WRITER = """
import sys
from pathlib import Path
from gateway.usage.answers import KeptAnswer, Row
from gateway.usage.segment_file import SegmentFile

file = SegmentFile(Path(sys.argv[1]))
file.open()
file.append('["first"]', 1)
print("opened", flush=True)
sys.stdin.readline()
answer = KeptAnswer(b"k" * 32, b"request", "ten_a", "{}", b"body")
file.append_with_answers('["last"]', 1, [Row(answer, 1 << 60)])
print("written", flush=True)
sys.stdin.readline()
"""


def kept(body: bytes | None = b"body", *, key: bytes = KEY, tenant_id: str = "ten_a") -> KeptAnswer:
    """Return an answer on its way to the disk."""
    return KeptAnswer(key, b"request", tenant_id, "{}", body)


@pytest.fixture
async def journal(tmp_path: Path, clock: Clock) -> AsyncIterator[Journal]:
    """Return an open journal of a worker with little room for answers."""
    opened = Journal(
        tmp_path / "worker-0.db",
        max_bytes=1 << 20,
        max_answer_bytes=8192,
        now_us=clock.now_us,
        monotonic=clock.monotonic,
    )
    await opened.open()
    claims = Claims(tmp_path)
    claims.mark_open(opened.path)
    yield opened
    claims.close()
    await opened.close()


@dataclass
class Writer:
    """A process that has a journal, and writes to it when it is told to."""

    process: subprocess.Popen[str]

    def step(self) -> None:
        """Let it go on, and wait until it has."""
        assert self.process.stdin is not None
        print("go", file=self.process.stdin, flush=True)
        self.wait()

    def wait(self) -> None:
        """Wait until it has done something."""
        assert self.process.stdout is not None
        self.process.stdout.readline()


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """Run a writer that has the journal open."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        writer = Writer(process)
        writer.wait()
        yield writer


@contextlib.asynccontextmanager
async def reading(path: Path, clock: Clock) -> AsyncIterator[AnswerReader]:
    """Run a reader for the length of a block, of a worker that has nothing open."""
    claims = Claims(path.parent)
    reader = AnswerReader(path, claims, now_us=clock.now_us)
    yield reader
    await reader.close()
    claims.close()


async def test_answer_is_found_by_every_worker_for_a_day(journal: Journal, clock: Clock) -> None:
    """It outlives the delivery of its record, and no more than its day."""
    answer = kept()
    await journal.record(record_of("a", occurred_at_us=clock.now_us()), answer)
    await journal.discard(journal.position)
    async with reading(journal.path.with_name("worker-7.db"), clock) as reader:
        clock.wall_us += DAY_US - 1
        assert await reader.find(KEY) == (b"request", "{}", b"body")
        assert await reader.find(b"another") is None
        clock.wall_us += 1
        assert await reader.find(KEY) is None


async def test_all_who_ask_at_once_get_their_own(journal: Journal, clock: Clock) -> None:
    """Whatever is kept, was never asked before, or has expired meanwhile, and wherever it lies."""
    beside = Journal(journal.path.with_name("worker-1.db"), max_bytes=1 << 20)
    await beside.open()
    for number in range(9):
        clock.wall_us += 1
        record = record_of(f"{number}", occurred_at_us=clock.now_us())
        answer = kept(b"%d" % number, key=bytes([number]))
        await (journal if number % 2 else beside).record(record, answer)
    await beside.close()
    clock.wall_us += DAY_US - 5
    async with reading(journal.path, clock) as reader:
        keys = [bytes([number]) for number in (8, 20, 0, 5, 8, 7, 1)]
        found = await asyncio.gather(*(reader.find(key) for key in keys))
    assert [one and one.body for one in found] == [b"8", None, None, b"5", b"8", b"7", None]


async def test_commit_replaces_what_has_expired_and_nothing_else(
    journal: Journal, clock: Clock
) -> None:
    """Beside answers to keys that were never used, in one commit; what is kept is counted once."""
    await journal.record(record_of("a", occurred_at_us=clock.now_us()), kept(b"old"))
    clock.wall_us += DAY_US
    late = record_of("b", occurred_at_us=clock.now_us())
    keys = (b"first", KEY, b"last")
    answers = [kept(b"new", key=key) for key in keys]
    await asyncio.gather(*(journal.record(late, answer) for answer in answers))
    async with reading(journal.path, clock) as reader:
        found = await asyncio.gather(*(reader.find(key) for key in keys))
    assert [one and one.body for one in found] == [b"new"] * 3
    assert journal.answers.held_bytes == 3 * answers[0].size
    with pytest.raises(JournalUnavailable, match="not expired"):
        await journal.record(late, kept(b"other"))
    assert journal.answers.held_bytes == 3 * answers[0].size


async def test_answer_and_record_are_written_together_or_not_at_all(
    journal: Journal, clock: Clock
) -> None:
    """A commit that fails leaves neither, and tells whoever holds the claim."""
    landed: list[str] = []
    await journal.record(record_of("a"), kept())
    broken = kept(key=KEY)
    broken.tenant_id = None  # type: ignore[assignment]
    broken.on_landed = lambda: landed.append("failed")
    with pytest.raises(JournalUnavailable):
        await journal.record(record_of("b"), broken)
    assert landed == ["failed"]
    segments = await journal.read(0, 10)
    assert segments is not None
    assert (segments.length, segments.record_count) == (1, 1)
    async with reading(journal.path, clock) as reader:
        assert await reader.find(KEY) == (b"request", "{}", b"body")


async def test_caller_that_leaves_during_the_commit_leaves_its_claim(journal: Journal) -> None:
    """From the moment the write is under way until it is over nobody can say."""
    landed = asyncio.Event()
    answer = kept()
    answer.on_landed = landed.set
    caller = asyncio.create_task(journal.record(record_of("a"), answer))
    while not answer.is_travelling:  # noqa: ASYNC110 - the next turn of the loop begins the write
        await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert answer.is_pending
    await landed.wait()
    assert not answer.is_pending
    assert journal.answers.held_bytes == answer.size


async def test_caller_that_leaves_before_the_commit_is_on_no_bill(journal: Journal) -> None:
    """What never began to be written is dropped with its answer."""
    answer = kept()
    caller = asyncio.create_task(journal.record(record_of("a"), answer))
    while not answer.is_pending:  # noqa: ASYNC110 - the next turn of the loop queues it
        await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await journal.record(record_of("b"))
    assert not answer.is_pending
    assert journal.answers.held_bytes == 0


async def test_answer_waits_for_its_commit_also_when_its_caller_does_not(journal: Journal) -> None:
    """A write that somebody else goes on waiting for is under way from the beginning."""
    answer = kept()
    writing = asyncio.create_task(journal.record(record_of("a"), answer))
    while not answer.is_pending:  # noqa: ASYNC110 - the next turn of the loop queues it
        await asyncio.sleep(0)
    assert not answer.is_travelling
    await writing
    assert not answer.is_pending


async def test_expired_answers_give_their_room_free(journal: Journal, clock: Clock) -> None:
    """All of them, however many; and one that is replaced is counted once."""
    for number in range(70):
        record = record_of(f"{number}", occurred_at_us=clock.now_us())
        await journal.record(record, kept(None, key=bytes([number])))
    clock.wall_us += DAY_US
    record = record_of("again", occurred_at_us=clock.now_us())
    await journal.record(record, kept(None, key=bytes([7])))
    await journal.forget_expired()
    assert journal.answers.held_bytes == kept(None).size


async def test_room_is_counted_again_after_a_restart(journal: Journal, tmp_path: Path) -> None:
    """What an earlier run kept takes the room of this one."""
    await journal.record(record_of("a"), kept())
    await journal.close()
    again = Journal(tmp_path / "worker-0.db", max_bytes=1 << 20)
    await again.open()
    assert again.answers.held_bytes == kept().size
    await again.close()


def test_full_room_refuses_the_tenant_that_filled_it() -> None:
    """A quarter is the most that one tenant gets, so that others have the rest."""
    room = AnswerRoom(4000)
    room.add([("ten_a", 999)])
    room.check("ten_a")
    room.add([("ten_a", 1)])
    with pytest.raises(AnswersFull):
        room.check("ten_a")
    room.check("ten_b")
    room.free([("ten_a", 1)])
    room.check("ten_a")


def test_full_room_refuses_everybody() -> None:
    """Nothing is forgotten to make room."""
    room = AnswerRoom(4000)
    room.add((f"ten_{number}", 500) for number in range(8))
    with pytest.raises(AnswersFull):
        room.check("ten_new")


async def test_journal_of_another_version_has_no_answers(tmp_path: Path, clock: Clock) -> None:
    """A file that was left by a program that kept none is looked into all the same."""
    with contextlib.closing(sqlite3.connect(tmp_path / "worker-3.db")) as old:
        old.execute("CREATE TABLE segments (position INTEGER PRIMARY KEY)")
    async with reading(tmp_path / "worker-3.db", clock) as reader:
        assert await reader.find(KEY) is None


async def test_journal_that_cannot_be_read_is_no_answer(tmp_path: Path, clock: Clock) -> None:
    """Nobody can say whether the request ran, so it does not run."""
    (tmp_path / "worker-3.db").write_bytes(b"no database" * 100)
    async with reading(tmp_path / "worker-3.db", clock) as reader:
        with pytest.raises(JournalUnavailable):
            await reader.find(KEY)


async def test_damaged_log_of_a_dead_worker_is_no_answer(
    journal: Journal, clock: Clock, tmp_path: Path
) -> None:
    """Nobody can say, as often as it is asked, and nothing of the log is given up."""
    for number in range(5):
        await journal.record(record_of(f"r{number}"), kept(key=bytes([number])))
    (left := tmp_path / "left").mkdir()
    path = left / "worker-0.db"
    path.write_bytes(journal.path.read_bytes())
    log = log_of(journal.path).read_bytes().replace(b'"r1"', b'"r7"', 1)
    log_of(path).write_bytes(log)
    async with reading(left / "worker-7.db", clock) as reader:
        for _ in range(2):
            with pytest.raises(JournalUnavailable, match="tollgate usage salvage"):
                await reader.find(KEY)
    assert log_of(path).read_bytes() == log


async def test_commit_whose_writer_died_is_decided_before_anybody_runs(
    tmp_path: Path, clock: Clock
) -> None:
    """What readers could not see when they looked does not come back when all have died.

    The worker dies between the fsync of its last commit and the moment when others see it: its
    shared memory is put back to what it was before. What the others leave is the files alone.
    """
    path, left = tmp_path / "worker-0.db", tmp_path / "left"
    left.mkdir()
    async with reading(path, clock) as reader:
        with writing(path) as writer, contextlib.closing(sqlite3.connect(path)) as bystander:
            bystander.execute("SELECT count(*) FROM segments").fetchone()
            memory = path.with_name("worker-0.db-shm").open("r+b", buffering=0)
            before = memory.read()
            writer.step()
            writer.process.kill()
            writer.process.wait()
            memory.seek(0)
            memory.write(before)
            memory.close()
            assert await reader.find(KEY) is None
            for name in ("worker-0.db", "worker-0.db-wal"):
                shutil.copy(tmp_path / name, left / name)
    journal = Journal(left / "worker-0.db", max_bytes=1 << 20)
    await journal.open()
    segments = await journal.read(0, 10)
    await journal.close()
    assert segments is not None
    assert segments.record_count == 1
