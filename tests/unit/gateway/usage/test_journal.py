"""The journal: on disk before anybody is answered, and honest when it cannot be."""

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest

from gateway.usage.errors import JournalInUse, JournalUnavailable
from gateway.usage.journal import Journal
from gateway.usage.record import UsageRecord
from tests.unit.gateway.usage.conftest import START_US, Bill, Clock, record_of


def on_disk(path: Path) -> list[str]:
    """Return the request ids that another connection sees."""
    with sqlite3.connect(path / "journal.db") as connection:
        found = connection.execute("SELECT records FROM segments ORDER BY position").fetchall()
    connection.close()
    return [record[0] for (records,) in found for record in json.loads(f"[{records}]")]


def set_page_limit(journal: Journal, pages: int) -> None:
    """Make the disk of the journal this big."""
    journal._file._writer.execute(f"PRAGMA max_page_count = {pages}").fetchall()


async def settled(journal: Journal) -> None:
    """Wait until the journal's thread has done what was asked before."""
    await journal._open_thread().run(lambda: None)


@pytest.fixture
async def full_disk(journal: Journal) -> Journal:
    """Return a journal whose disk is full and whose last write failed."""
    set_page_limit(journal, 1)
    with pytest.raises(JournalUnavailable, match="full"):
        await journal.record(record_of("r", model="m" * 10_000))
    return journal


async def test_record_returns_after_the_commit(journal: Journal, tmp_path: Path) -> None:
    """Whoever may answer finds the record through another connection."""
    for number in range(20):
        await journal.record(record_of(f"r{number}"))
        assert on_disk(tmp_path)[-1] == f"r{number}"


async def test_record_does_not_return_before_the_write(journal: Journal, tmp_path: Path) -> None:
    """With the writer held, nobody is answered and nothing is on disk."""
    blocker = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    waiter = asyncio.ensure_future(journal.record(record_of("r")))
    await journal.read(0, 1)  # a trip to the disk and back
    assert (waiter.done(), on_disk(tmp_path)) == (False, [])
    blocker.execute("ROLLBACK")
    blocker.close()
    await waiter
    assert on_disk(tmp_path) == ["r"]


async def test_commits_are_synchronous(journal: Journal) -> None:
    """Anything less than FULL (2) answers before the disk has it."""
    assert journal._file._writer.execute("PRAGMA synchronous").fetchone() == (2,)
    assert journal._file._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_waiters_share_a_commit(journal: Journal) -> None:
    """A thousand callers wait for a few fsyncs."""
    await asyncio.gather(*(journal.record(record_of(f"r{number}")) for number in range(1000)))
    segments = await journal.read(0, 1000)
    assert segments is not None
    assert segments.length == 4
    assert len(json.loads(segments.records)) == 1000


async def test_record_is_kept_whole(journal: Journal) -> None:
    """What comes out is what went in, whatever is in its ids."""
    record = record_of("r", tenant_id="a:b*{}\n'\"\\,[]\u20ac", is_test=True, units=2**53)
    await journal.record(record)
    segments = await journal.read(0, 10)
    assert segments is not None
    assert [UsageRecord(*kept) for kept in json.loads(segments.records)] == [record]


async def test_unencodable_record_harms_nobody_else(journal: Journal, tmp_path: Path) -> None:
    """A lone surrogate fails its own call, not the flush it would have joined."""
    results = await asyncio.gather(
        journal.record(record_of("a")),
        journal.record(record_of("b", model="\ud800")),
        journal.record(record_of("c")),
        return_exceptions=True,
    )
    assert [isinstance(result, TypeError) for result in results] == [False, True, False]
    assert on_disk(tmp_path) == ["a", "c"]


async def test_failed_write_fails_exactly_its_waiters(journal: Journal, tmp_path: Path) -> None:
    """Those before and after are answered; those of the flush are told that nothing was kept."""
    await journal.record(record_of("before"))
    set_page_limit(journal, 1)
    failed = await asyncio.gather(
        *(journal.record(record_of(f"r{number}", model="m" * 5000)) for number in range(3)),
        return_exceptions=True,
    )
    set_page_limit(journal, 10_000)
    await journal.record(record_of("after"))
    assert [type(result) for result in failed] == [JournalUnavailable] * 3
    assert on_disk(tmp_path) == ["before", "after"]


async def test_failed_write_stops_new_work(full_disk: Journal) -> None:
    """A prediction that cannot be billed is refused before it runs."""
    assert not full_disk.is_writable
    with pytest.raises(JournalUnavailable) as caught:
        full_disk.ensure_writable()
    assert caught.value.retry_after_seconds >= 1


async def test_probe_heals_the_journal(full_disk: Journal, clock: Clock) -> None:
    """When the disk has room again, the next probe finds out."""
    set_page_limit(full_disk, 10_000)
    clock.monotonic_seconds += 1
    full_disk.probe()
    await settled(full_disk)
    full_disk.ensure_writable()
    await full_disk.record(record_of("healed"))


async def test_refusal_starts_the_probe(full_disk: Journal, clock: Clock) -> None:
    """Requests that are refused are what makes the journal look again."""
    set_page_limit(full_disk, 10_000)
    clock.monotonic_seconds += 1
    with pytest.raises(JournalUnavailable):
        full_disk.ensure_writable()
    await settled(full_disk)
    assert full_disk.is_writable


async def test_probe_comes_at_most_once_a_second(full_disk: Journal, clock: Clock) -> None:
    """A flood of refusals does not become a flood of writes."""
    set_page_limit(full_disk, 10_000)
    clock.monotonic_seconds += 0.9
    full_disk.probe()
    await settled(full_disk)
    assert not full_disk.is_writable


async def test_probe_on_a_full_disk_heals_nothing(full_disk: Journal, clock: Clock) -> None:
    """The probe needs as much room as the write that failed."""
    clock.monotonic_seconds += 1
    full_disk.probe()
    await settled(full_disk)
    assert not full_disk.is_writable


async def test_probe_leaves_nothing_behind(full_disk: Journal, clock: Clock) -> None:
    """Probes are not usage."""
    set_page_limit(full_disk, 10_000)
    clock.monotonic_seconds += 1
    full_disk.probe()
    await settled(full_disk)
    assert await full_disk.read(0, 10) is None


async def test_bound_on_undelivered_usage_stops_new_work(bill: Bill) -> None:
    """A ledger that is away for long does not fill the disk."""
    journal = bill.journal(max_bytes=50)
    await journal.open()
    journal.ensure_writable()
    await journal.record(record_of("r"))
    with pytest.raises(JournalUnavailable):
        journal.ensure_writable()
    await journal.discard(1)
    journal.ensure_writable()
    await journal.close()


async def test_bound_holds_after_a_restart(bill: Bill) -> None:
    """What an earlier run left counts."""
    journal = bill.journal()
    await journal.open()
    await journal.record(record_of("r"))
    await journal.close()
    again = bill.journal(max_bytes=50)
    await again.open()
    assert not again.is_writable
    await again.close()


async def test_second_journal_on_the_file_is_refused(bill: Bill, journal: Journal) -> None:
    """Two writers would reuse positions, and the ledger would skip records."""
    with pytest.raises(JournalInUse, match="one server works per data folder"):
        await bill.journal().open()
    await journal.close()
    again = bill.journal()
    await again.open()
    await again.close()


async def test_file_that_cannot_be_opened_says_so(bill: Bill, tmp_path: Path) -> None:
    """A folder that is not there is a fact, not a traceback."""
    with pytest.raises(JournalUnavailable):
        await bill.journal(name="missing/journal.db").open()
    (tmp_path / "garbage.db").write_bytes(b"not a database, but long enough to be read as one" * 99)
    with pytest.raises(JournalUnavailable):
        await bill.journal(name="garbage.db").open()


def test_journal_file_is_private(journal: Journal, tmp_path: Path) -> None:
    """Who predicted how much is nobody else's business on the machine."""
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("journal.db*")}
    assert journal.is_writable
    assert set(modes.values()) == {0o600}


async def test_positions_never_come_again(bill: Bill) -> None:
    """The ledger skips positions it has taken, so none may be used twice."""
    positions = []
    for number in range(3):
        journal = bill.journal()
        await journal.open()
        await journal.record(record_of(f"r{number}"))
        segments = await journal.read(0, 10)
        assert segments is not None
        positions.append(segments.through)
        await journal.discard(segments.through)
        await journal.close()
    assert positions == [1, 2, 3]


async def test_journal_keeps_its_id(bill: Bill) -> None:
    """The ledger knows the file by it."""
    ids = set()
    for _ in range(2):
        journal = bill.journal()
        await journal.open()
        ids.add(journal.journal_id)
        await journal.close()
    assert len(ids) == 1


async def test_closed_journal_refuses(journal: Journal) -> None:
    """After the end there is no disk to wait for."""
    await journal.close()
    with pytest.raises(JournalUnavailable):
        journal.ensure_writable()
    with pytest.raises(JournalUnavailable):
        await journal.record(record_of("r"))


async def test_close_finishes_what_waits(journal: Journal, tmp_path: Path) -> None:
    """A shutdown answers everybody who got as far as the bill."""
    waiter = asyncio.ensure_future(journal.record(record_of("r")))
    await asyncio.sleep(0)
    await journal.close()
    await waiter
    assert on_disk(tmp_path) == ["r"]


async def test_watermark_stops_at_the_oldest_record_under_way(journal: Journal) -> None:
    """What is not readable yet is not promised."""
    waiter = asyncio.ensure_future(journal.record(record_of("r", occurred_at_us=START_US - 5)))
    await asyncio.sleep(0)
    assert (journal.oldest_pending_us, journal.watermark()) == (START_US - 5, START_US - 5)
    await waiter
    assert (journal.oldest_pending_us, journal.watermark()) == (None, START_US)


async def test_clock_set_back_breaks_no_promise(journal: Journal, clock: Clock) -> None:
    """Later records are held to the watermark, even if their maker did not ask for a stamp."""
    mark_us = journal.watermark()
    clock.wall_us -= 3_600_000_000
    assert journal.stamp() == mark_us
    await journal.record(record_of("r", occurred_at_us=clock.wall_us))
    segments = await journal.read(0, 1)
    assert segments is not None
    assert json.loads(segments.records)[0][1] == mark_us
    assert journal.watermark() == mark_us


class Words:
    """What was said of a record."""

    def __init__(self) -> None:
        self.heard: list[bool] = []

    def __call__(self, *, is_durable: bool) -> None:
        """Hear it."""
        self.heard.append(is_durable)


async def test_record_is_told_to_be_on_disk(journal: Journal) -> None:
    """Once it is."""
    words = Words()
    await journal.record(record_of("r"), told=words)
    assert words.heard == [True]


async def test_record_of_a_full_disk_is_told_to_be_lost(full_disk: Journal) -> None:
    """The first word is the true one, and no answer leaves."""
    words = Words()
    with pytest.raises(JournalUnavailable):
        await full_disk.record(record_of("r2", model="m" * 10_000), told=words)
    assert words.heard[:1] == [False]
    assert True not in words.heard


async def test_record_whose_caller_leaves_in_the_write_is_told_of(
    journal: Journal, tmp_path: Path
) -> None:
    """It is on disk, whether or not anybody waits for it."""
    words = Words()
    waiter = asyncio.ensure_future(journal.record(record_of("r"), told=words))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    await settled(journal)
    await journal.record(record_of("r2"))
    assert (words.heard, on_disk(tmp_path)) == ([True], ["r", "r2"])


async def test_record_whose_caller_leaves_before_the_write_is_told_to_be_lost(
    journal: Journal, tmp_path: Path
) -> None:
    """It is dropped, and so on nobody's bill."""
    words = Words()
    first = asyncio.ensure_future(journal.record(record_of("r")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiter = asyncio.ensure_future(journal.record(record_of("r2"), told=words))
    await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.gather(first, waiter, return_exceptions=True)
    assert (words.heard, on_disk(tmp_path)) == ([False], ["r"])
