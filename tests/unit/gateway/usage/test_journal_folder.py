"""The journals of one data folder: each worker has its own, and none is left behind."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest

from gateway.usage.answers import KeptAnswer
from gateway.usage.journal import Journal
from gateway.usage.journal_folder import JournalFolder, keep_adopting
from gateway.usage.ledger import Ledger
from gateway.usage.periods import HOUR_US
from gateway.usage.segment_file import WORTHWHILE_PAGES
from tests.unit.gateway.usage.conftest import START_US, Bill, Clock, record_of


@pytest.fixture
def folder(bill: Bill) -> JournalFolder:
    """The folder as one worker sees it."""
    return folder_of(bill)


def folder_of(bill: Bill) -> JournalFolder:
    """Return the folder as another worker would see it."""
    return JournalFolder(bill.path, Ledger(bill.engine), max_bytes=1 << 30)


async def leave(journal: Journal, *request_ids: str) -> None:
    """Record something and go away before it is delivered, as a crash does."""
    for request_id in request_ids:
        await journal.record(record_of(request_id))
    await journal.close()


async def ids(bill: Bill) -> list[str]:
    """List the request ids in the ledger."""
    return [record.request_id for record in await bill.records()]


async def test_each_worker_gets_a_journal_of_its_own(folder: JournalFolder, bill: Bill) -> None:
    """The first that nobody holds; one that was given up is the first again."""
    first, second = await folder.take_free(), await folder_of(bill).take_free()
    assert [first.path.name, second.path.name] == ["worker-0.db", "worker-1.db"]
    await first.close()
    third = await folder_of(bill).take_free()
    assert third.path.name == "worker-0.db"
    for journal in (second, third):
        await journal.close()


async def test_only_worker_waits_for_the_journal(folder: JournalFolder, bill: Bill) -> None:
    """Whoever holds it counts limits still; the wait is told once."""
    held = await folder.take_free()
    told = asyncio.Event()
    waiting = asyncio.create_task(folder_of(bill).take_first(told.set))
    await told.wait()
    assert not waiting.done()
    await held.close()
    taken = await waiting
    assert taken.path.name == "worker-0.db"
    await taken.close()


async def test_free_journal_is_not_waited_for(folder: JournalFolder) -> None:
    """Nobody is told of a wait that there is not."""
    told: list[str] = []
    journal = await folder.take_first(lambda: told.append("waiting"))
    assert told == []
    await journal.close()


async def test_journal_that_was_left_behind_is_delivered(folder: JournalFolder, bill: Bill) -> None:
    """Any worker does it; nobody else holds the ledger's readers back then."""
    await leave(await folder_of(bill).take_free(), "r1", "r2")
    assert await folder.adopt()
    assert await ids(bill) == ["r1", "r2"]


async def test_journal_in_use_is_left_alone(folder: JournalFolder, bill: Bill) -> None:
    """Its worker delivers it."""
    held = await folder_of(bill).take_free()
    await held.record(record_of("r1"))
    assert not await folder.adopt()
    assert await ids(bill) == []
    await held.close()


async def test_adopted_journal_serves_the_next_worker(folder: JournalFolder, bill: Bill) -> None:
    """What is recorded after an adoption is delivered by the next one."""
    for request_id in ("r1", "r2"):
        await leave(await folder.take_free(), request_id)
        assert await folder.adopt()
    assert await ids(bill) == ["r1", "r2"]


async def test_two_that_adopt_at_once_bill_once(folder: JournalFolder, bill: Bill) -> None:
    """The lock decides who does it."""
    await leave(await folder_of(bill).take_free(), "r1", "r2", "r3")
    await asyncio.gather(folder.adopt(), folder_of(bill).adopt())
    assert await ids(bill) == ["r1", "r2", "r3"]


def answer_of(name: str) -> KeptAnswer:
    """Return an answer that is kept for its day."""
    return KeptAnswer(name.encode(), b"request", "ten_a", "{}", b"body")


async def test_two_workers_do_not_settle_in_turns_for_ever(bill: Bill) -> None:
    """What one has settled looks to the other as it left it itself."""
    await leave(await folder_of(bill).take_free(), "r1")
    folders = [folder_of(bill), folder_of(bill)]
    for _ in range(2):
        for folder in folders:
            assert await folder.adopt()
    seen = await asyncio.to_thread(written_at, bill.path)
    for folder in folders:
        assert await folder.adopt()
    assert await asyncio.to_thread(written_at, bill.path) == seen


def written_at(folder: Path) -> int:
    """Return when the first journal was last written to, or opened."""
    return (folder / "worker-0.db").stat().st_mtime_ns


async def test_answers_in_a_journal_that_was_left_are_forgotten_in_time(
    bill: Bill, clock: Clock
) -> None:
    """Each after its day, although nobody ever takes the journal again."""
    folder = JournalFolder(bill.path, Ledger(bill.engine), max_bytes=1 << 30, now_us=clock.now_us)
    journal = await folder.take_free()
    await journal.record(record_of("a"), answer_of("a"))
    later = record_of("b", occurred_at_us=START_US + HOUR_US)
    await journal.record(later, answer_of("b"))
    await journal.close()
    kept = []
    for hours in (0, 23, 24, 25):
        clock.wall_us = START_US + hours * HOUR_US
        assert await folder.adopt()
        kept.append(keys_in(journal.path))
    assert kept == [[b"a", b"b"], [b"a", b"b"], [b"b"], []]


def keys_in(path: Path) -> list[bytes]:
    """Read the keys of the answers in a journal."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [key for (key,) in connection.execute("SELECT key FROM answers ORDER BY key")]


async def test_room_of_forgotten_answers_is_given_back(bill: Bill, clock: Clock) -> None:
    """The file that nobody takes again is small."""
    folder = JournalFolder(bill.path, Ledger(bill.engine), max_bytes=1 << 30, now_us=clock.now_us)
    journal = await folder.take_free()
    large = answer_of("a")
    large.body = bytes(2 * WORTHWHILE_PAGES * 4096)
    await journal.record(record_of("a"), large)
    await journal.close()
    clock.wall_us += 24 * HOUR_US
    assert await folder.adopt()
    size = await asyncio.to_thread(journal.path.stat)
    assert size.st_size < WORTHWHILE_PAGES * 4096


async def test_broken_journal_keeps_no_other_back(folder: JournalFolder, bill: Bill) -> None:
    """It is told in the log and tried again; the others are delivered."""
    await asyncio.to_thread((bill.path / "worker-0.db").write_bytes, b"no database" * 1000)
    left = Journal(bill.path / "worker-1.db", max_bytes=1 << 30)
    await left.open()
    await leave(left, "r1")
    assert not await folder.adopt()
    assert await ids(bill) == ["r1"]


async def test_what_is_left_while_the_server_runs_is_delivered(
    folder: JournalFolder, bill: Bill
) -> None:
    """A worker that is killed and never replaced owes nothing."""
    async with keep_adopting(folder, interval_seconds=0.0):
        await leave(await folder_of(bill).take_free(), "r1")
        async with asyncio.timeout(30):
            while await ids(bill) != ["r1"]:  # noqa: ASYNC110 - another task writes the database
                await asyncio.sleep(0)


async def test_workers_start_one_after_the_other(bill: Bill) -> None:
    """One that finds itself alone says so to the ledger before another joins."""
    steps: list[str] = []

    async def start(name: str) -> None:
        async with folder_of(bill).starting():
            steps.append(f"{name} begins")
            await asyncio.to_thread(Path.exists, bill.path)
            steps.append(f"{name} ends")

    await asyncio.gather(start("a"), start("b"))
    assert sorted(steps[:2]) in (["a begins", "a ends"], ["b begins", "b ends"])
