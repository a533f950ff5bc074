"""A damaged journal bills nothing that was never written, takes no more, and gives up the rest."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.usage.errors import JournalDamaged, JournalInUse, JournalUnavailable
from gateway.usage.journal import Journal
from gateway.usage.salvage import MAX_SEGMENT_RECORDS, Salvage, salvage_journal
from gateway.usage.segment_file import log_of, settle_log
from tests.unit.gateway.usage.conftest import START_US, Bill, record_of

SEGMENTS = 40
PAGE = 4096
TEXT = 900
"""Characters of a model's name, so that a page has a few segments."""

Damage = Callable[[bytearray, int], None]


def zero_the_page(content: bytearray, at: int) -> None:
    """Lose the page around a place."""
    first = at // PAGE * PAGE
    content[first : first + PAGE] = bytes(PAGE)


def turn_a_bit(content: bytearray, at: int) -> None:
    """Change a character."""
    content[at] ^= 1


def lose_the_head(content: bytearray, _: int) -> None:
    """Lose the page that says what the file is."""
    content[:PAGE] = bytes(PAGE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make an empty folder for journals."""
    (folder := tmp_path / "journals").mkdir()
    return folder


async def written(folder: Path, *, segments: int = SEGMENTS) -> Path:
    """Write a journal of segments of one record each, and close it."""
    path = folder / "worker-0.db"
    journal = Journal(path, max_bytes=1 << 30)
    await journal.open()
    for number in range(1, segments + 1):
        record = record_of(f"r{number:04}", model="m" * TEXT, occurred_at_us=START_US + number)
        await journal.record(record)
    await journal.close()
    return path


def damage(path: Path, inflict: Damage, *, at: bytes = b"r0020") -> None:
    """Damage the file where a request id stands."""
    content = bytearray(path.read_bytes())
    inflict(content, content.index(at))
    path.write_bytes(content)


def copy_with_log(path: Path, copy: Path) -> None:
    """Take what a kill would leave."""
    for suffix in ("", "-wal"):
        Path(f"{copy}{suffix}").write_bytes(Path(f"{path}{suffix}").read_bytes())


def remnants(folder: Path) -> list[Path]:
    """List what was only made on the way."""
    return list(folder.glob(".salvage-*"))


def ids_in(path: Path) -> Iterator[str]:
    """Read the request ids of a journal."""
    with closing(sqlite3.connect(path)) as connection:
        for (records,) in connection.execute("SELECT records FROM segments ORDER BY position"):
            yield records[2:7]


def missing_of(saved: Salvage) -> set[int]:
    """List the positions that are not told of as readable."""
    return {
        position for gap in saved.gaps for position in range(gap.first, (gap.last or SEGMENTS) + 1)
    }


async def test_changed_segment_is_never_delivered(bill: Bill, folder: Path) -> None:
    """SQLite would hand a digit that turned into another one out as if it had been written."""
    path = await written(folder)
    damage(path, turn_a_bit)
    journal = bill.journal(name=str(path))
    await journal.open()
    shipper = bill.shipper(journal)
    with pytest.raises(JournalDamaged, match=r"segment 20 .*tollgate usage salvage"):
        await shipper.start()
    assert await bill.records() == []
    await journal.close()


async def test_damage_stops_predictions_until_it_is_salvaged(folder: Path) -> None:
    """What was found by whoever reads is known to whoever is about to run a model."""
    path = await written(folder)
    damage(path, turn_a_bit)
    journal = Journal(path, max_bytes=1 << 30)
    await journal.open()
    journal.ensure_writable()
    with pytest.raises(JournalDamaged):
        await journal.read(0, SEGMENTS)
    with pytest.raises(JournalDamaged):
        journal.ensure_writable()
    assert not journal.is_writable
    await journal.close()


@pytest.mark.parametrize("inflict", [zero_the_page, lose_the_head])
async def test_damaged_pages_are_found_when_the_journal_is_opened(
    folder: Path, inflict: Damage
) -> None:
    """Before it takes a record, and in words that say what to do; the lock is given back."""
    path = await written(folder)
    damage(path, inflict)
    for _ in range(2):
        with pytest.raises(JournalDamaged, match="tollgate usage salvage"):
            await Journal(path, max_bytes=1 << 30).open()


@pytest.mark.parametrize("inflict", [zero_the_page, turn_a_bit])
async def test_all_but_the_damage_is_saved(folder: Path, inflict: Damage) -> None:
    """Each position is readable or told of, with the moments around it."""
    path = await written(folder)
    damage(path, inflict)
    saved = salvage_journal(path, stamp="now")
    read = {int(request_id[1:]) for request_id in ids_in(saved.journal)}
    missing = missing_of(saved)
    assert 20 in missing
    assert len(missing) < 8
    assert read | missing == set(range(1, SEGMENTS + 1))
    assert not read & missing
    assert (saved.segments, saved.records) == (len(read), len(read))
    (gap,) = saved.gaps
    assert gap.after_us == START_US + gap.first - 1
    assert gap.last is not None
    assert gap.before_us == START_US + gap.last + 1
    assert gap.most_records == len(missing) * MAX_SEGMENT_RECORDS


async def test_what_is_saved_is_delivered_once(bill: Bill, folder: Path) -> None:
    """Also where the ledger had a part of it, under the same name."""
    path = await written(folder)
    journal = bill.journal(name=str(path))
    await journal.open()
    journal_id = journal.journal_id
    shipper = bill.shipper(journal)
    shipper._segments_per_trip = 5
    await bill.shipper(journal)._join()
    await shipper._hand_over(await journal.read(0, 5), 0)
    await journal.close()
    damage(path, zero_the_page)
    saved = salvage_journal(path, stamp="now")
    assert saved.journal_id == journal_id
    heir = bill.journal(name=str(saved.journal))
    await heir.open()
    assert heir.journal_id == journal_id
    await bill.shipper(heir).settle()
    await heir.close()
    lost = {f"r{position:04}" for position in missing_of(saved)}
    everything = {f"r{number:04}" for number in range(1, SEGMENTS + 1)}
    assert [record.request_id for record in await bill.records()] == sorted(everything - lost)


async def test_whole_journal_loses_nothing(folder: Path) -> None:
    """Whoever salvages without need has the same in another file."""
    path = await written(folder)
    saved = salvage_journal(path, stamp="now")
    assert (saved.segments, saved.gaps, saved.has_lost_answers) == (SEGMENTS, (), False)


async def test_file_that_is_no_database_any_more_says_that_all_is_lost(folder: Path) -> None:
    """Nobody can tell how much it was."""
    path = await written(folder)
    damage(path, lose_the_head)
    saved = salvage_journal(path, stamp="now")
    (gap,) = saved.gaps
    assert (saved.segments, gap.first, gap.last, gap.most_records) == (0, 1, None, None)


async def test_log_beside_the_file_is_read_as_well(folder: Path) -> None:
    """What a killed worker committed last stands in SQLite's log."""
    path = await written(folder)
    with closing(sqlite3.connect(path)) as holder:
        holder.execute("SELECT count(*) FROM segments").fetchall()
        journal = Journal(path, max_bytes=1 << 30)
        await journal.open()
        await journal.record(record_of("r9999"))
        copy = folder / "worker-7.db"
        copy_with_log(path, copy)
        await journal.close()
    damage(copy, turn_a_bit)
    saved = salvage_journal(copy, stamp="now")
    assert "r9999" in set(ids_in(saved.journal))


async def killed(folder: Path) -> Path:
    """Leave a journal as a kill does: all its segments stand in the log."""
    path = folder / "worker-0.db"
    (beside := folder / "beside").mkdir()
    journal = Journal(beside / "worker-0.db", max_bytes=1 << 30)
    await journal.open()
    for number in range(1, SEGMENTS + 1):
        record = record_of(f"r{number:04}", model="m" * TEXT, occurred_at_us=START_US + number)
        await journal.record(record)
    copy_with_log(beside / "worker-0.db", path)
    await journal.close()
    return path


async def test_damage_in_the_log_is_found_and_the_rest_is_saved(folder: Path) -> None:
    """SQLite would take it for the end, and what was answered after it would be on no bill."""
    path = await killed(folder)
    damage(log := log_of(path), turn_a_bit)
    before = log.read_bytes()
    for _ in range(2):
        with pytest.raises(JournalDamaged, match=r"frame \d+ .*tollgate usage salvage"):
            await Journal(path, max_bytes=1 << 30).open()
    with pytest.raises(JournalDamaged):
        settle_log(path)
    assert log.read_bytes() == before
    saved = salvage_journal(path, stamp="now")
    assert [(gap.first, gap.last) for gap in saved.gaps] == [(20, 20)]
    assert len(set(ids_in(saved.journal))) == SEGMENTS - 1


async def test_what_was_being_written_when_the_machine_died_is_no_damage(folder: Path) -> None:
    """Its caller has no answer; the journal opens without it."""
    path = await killed(folder)
    content = log_of(path).read_bytes()
    log_of(path).write_bytes(content[:-100] + bytes(100))
    journal = Journal(path, max_bytes=1 << 30)
    await journal.open()
    assert journal.position == SEGMENTS - 1
    await journal.close()


async def test_damaged_file_is_kept_as_it_was(folder: Path) -> None:
    """Somebody with better tools may find more in it."""
    path = await written(folder)
    damage(path, zero_the_page)
    before = path.read_bytes()
    saved = salvage_journal(path, stamp="20261129T120000")
    assert saved.set_aside.name == "worker-0.db.damaged-20261129T120000"
    assert saved.set_aside.read_bytes() == before
    assert not path.exists()
    assert saved.journal.stat().st_mode & 0o777 == 0o600
    assert remnants(folder) == []


async def test_journal_in_use_is_left_alone(folder: Path) -> None:
    """Its worker would write into a file that nobody delivers."""
    path = await written(folder)
    journal = Journal(path, max_bytes=1 << 30)
    await journal.open()
    with pytest.raises(JournalInUse):
        salvage_journal(path, stamp="now")
    await journal.close()
    assert path.exists()


def test_missing_file_is_told_of(folder: Path) -> None:
    """A mistyped name makes no journal."""
    with pytest.raises(JournalUnavailable, match="no such file"):
        salvage_journal(folder / "worker-0.db", stamp="now")
    assert list(folder.iterdir()) == []


async def test_journal_from_before_there_were_checksums_is_read(folder: Path) -> None:
    """Its segments are taken at their word, and new ones have checksums."""
    path = await written(folder)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE segments DROP COLUMN checksum")
    journal = Journal(path, max_bytes=1 << 30)
    await journal.open()
    await journal.record(record_of("r9999"))
    found = await journal.read(0, 1000)
    assert found is not None
    assert found.length == SEGMENTS + 1
    await journal.close()
    with closing(sqlite3.connect(path)) as connection:
        known = connection.execute("SELECT count(checksum) FROM segments").fetchone()
    assert known == (1,)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Write a journal once, for many damages."""
    path = asyncio.run(written(tmp_path_factory.mktemp("sample")))
    return path.read_bytes()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_damage_makes_a_record_of_its_own(
    sample: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Wherever bytes are lost: what is saved was written, and the rest is told of."""
    start = data.draw(st.integers(0, len(sample) - 1))
    length = data.draw(st.integers(1, 3 * PAGE))
    content = bytearray(sample)
    content[start : start + length] = data.draw(st.sampled_from([b"\0", b"\xff"])) * min(
        length, len(sample) - start
    )
    path = tmp_path_factory.mktemp("damaged") / "worker-0.db"
    path.write_bytes(content)
    saved = salvage_journal(path, stamp="now")
    read = [int(request_id[1:]) for request_id in ids_in(saved.journal)]
    assert read == sorted(set(read))
    assert set(read) | missing_of(saved) >= set(range(1, SEGMENTS + 1))
