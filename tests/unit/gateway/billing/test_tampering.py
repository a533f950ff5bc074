"""Whatever is done to a closed month behind the server's back is found, and the record is named."""

from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from gateway.usage.chain import (
    LOT,
    MEMBERS,
    Link,
    Mark,
    canonical,
    chain_start,
    first_difference,
    mark_of,
    next_lot,
    pack_marks,
    unpack_marks,
)
from gateway.usage.errors import PeriodBroken, PeriodOpen, PeriodPruned
from gateway.usage.periods import HOUR_US
from tests.actors import TESTER
from tests.unit.gateway.billing.conftest import (
    COPIED,
    MIDNIGHT_US,
    NOVEMBER,
    SPARE,
    TOTALS,
    Books,
    december,
    november,
)

RECORDS = 8
SUMS = ("requests", "rows", "units", "compute_us", "bytes_in", "bytes_out")
WRONG_TOTALS = "the totals by {} that reports are made from are others"
OTHER_VALUES = {"sequence": "700", "is_test": "true", "period": "202610"}
TEXTS = {
    *("request_id", "tenant_id", "key_id", "model", "version", "protocol"),
    *("outcome", "corrects", "journal_id"),
}


@pytest.fixture
async def closed(books: Books) -> Books:
    """Close November with eight records and one of December among them, and drop the triggers."""
    await books.deliver(november(*"abcd") + december("x") + november(*"efgh"))
    await books.close()
    await books.deliver(december("y"))
    await books.unlock()
    return books


async def broken(books: Books) -> tuple[str, int | None]:
    """Return what was done, and to which record."""
    with pytest.raises(PeriodBroken) as found:
        await books.verify()
    return found.value.finding, found.value.sequence


@pytest.mark.parametrize("member", [name for name in MEMBERS if name != "sequence"])
async def test_change_of_any_member_is_found(closed: Books, member: str) -> None:
    """In the first record, in a middle one and in the last; back as it was, all is well."""
    value = OTHER_VALUES.get(member, "'other'" if member in TEXTS else f"{MIDNIGHT_US - 1}")
    for sequence in (1, 4, 9):
        async with closed.engine.connect() as connection:
            query = text(f"SELECT {member} FROM usage_records WHERE sequence = {sequence}")  # noqa: S608 - of constants
            before = await connection.scalar(query)
        row = f"UPDATE usage_records SET {member} = {{}} WHERE sequence = {sequence}"  # noqa: S608 - of constants
        await closed.run(row.format(value))
        assert await broken(closed) == ("changed", sequence)
        await closed.run(row.format(f"'{before}'" if member in TEXTS else str(before)))
    await closed.verify()


@pytest.mark.parametrize("sequence", [1, 4, 9])
async def test_removed_record_is_found(closed: Books, sequence: int) -> None:
    """At the number that is not there."""
    await closed.run("DELETE FROM usage_records WHERE sequence = :sequence", sequence=sequence)
    assert await broken(closed) == ("removed", sequence)


async def test_record_that_is_moved_to_another_month_is_found(closed: Books) -> None:
    """It is missing in this one."""
    moved = "UPDATE usage_records SET counted_at_us = :us, period = 202612 WHERE sequence = 4"
    await closed.run(moved, us=MIDNIGHT_US)
    assert await broken(closed) == ("removed", 4)


async def test_removed_record_is_found_where_all_others_moved_up(closed: Books) -> None:
    """The numbers have no gap, and it is still the one that is named."""
    await closed.run(
        "DELETE FROM usage_records WHERE sequence = 2",
        "UPDATE usage_records SET sequence = -sequence WHERE sequence > 2",
        "UPDATE usage_records SET sequence = -sequence - 1 WHERE sequence < 0",
    )
    assert await broken(closed) == ("removed", 2)


@pytest.mark.parametrize("sequence", [0, 5, 10, SPARE])
async def test_added_record_is_found(closed: Books, sequence: int) -> None:
    """Before the first, in place of one of December, behind the last, and far behind."""
    await closed.run(
        "DELETE FROM usage_records WHERE sequence = :sequence",
        f"INSERT INTO usage_records (sequence, request_id, {COPIED})"  # noqa: S608 - of constants
        f" SELECT :sequence, 'added', {COPIED} FROM usage_records WHERE sequence = 1",
        sequence=sequence,
    )
    assert await broken(closed) == ("added", sequence)


@pytest.mark.parametrize(("one", "other"), [(1, 2), (3, 9)])
async def test_reordered_records_are_found(closed: Books, one: int, other: int) -> None:
    """Two that changed places."""
    await closed.exchange(one, other)
    assert await broken(closed) == ("reordered", one)


async def test_records_that_changed_places_far_apart_are_found(books: Books) -> None:
    """In lots that are hashed one after the other."""
    names = [f"r{number:05}" for number in range(2 * LOT)]
    for start in range(0, len(names), LOT):
        await books.deliver(november(*names[start : start + LOT]))
    await books.close()
    await books.unlock()
    await books.exchange(7, LOT + 7)
    assert await broken(books) == ("reordered", 7)


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("UPDATE usage_periods SET units = units + 1", "its sums are others"),
        ("UPDATE usage_period_totals SET units = units + 1", "the sums of a tenant are others"),
        (
            "UPDATE usage_hours SET units = units + 1 WHERE period = 202611",
            WRONG_TOTALS.format("hour"),
        ),
        (
            "UPDATE usage_periods SET root = previous_root",
            "its root is another one, and its checkpoints with it",
        ),
        (
            "UPDATE usage_periods SET previous_root = root",
            "it does not begin with the root of the month before it",
        ),
        (
            "UPDATE usage_checkpoints SET head = 'x'",
            "a record up to 9 or its checkpoint is another",
        ),
        ("DELETE FROM usage_checkpoints", "a record up to 9 or its checkpoint is another"),
    ],
)
async def test_change_of_what_was_noted_is_found(
    closed: Books, statement: str, finding: str
) -> None:
    """The sums, the totals, the root, the link to the month before, a checkpoint."""
    await closed.run(statement)
    assert await broken(closed) == (finding, None)


@pytest.mark.parametrize("width", TOTALS)
@pytest.mark.parametrize(
    "change",
    [
        *(f"{name} = {name} + 1" for name in SUMS),
        *(f"{name} = 'other'" for name in ("tenant_id", "key_id", "model", "version")),
        "is_test = NOT is_test",
        "period = 202701",
    ],
)
async def test_change_of_totals_is_found(closed: Books, width: str, change: str) -> None:
    """Whatever reports read of a closed month, also where the sums of a tenant stay the same."""
    await closed.ledger.fold(MIDNIGHT_US + HOUR_US)
    await closed.verify()
    await closed.run(f"UPDATE usage_{width} SET {change} WHERE period = {NOVEMBER}")  # noqa: S608 - of constants
    assert await broken(closed) == (WRONG_TOTALS.format(width.removesuffix("s")), None)


@pytest.mark.parametrize("width", TOTALS)
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM usage_{} WHERE period = 202611",
        "UPDATE usage_{} SET period = 202611, tenant_id = 'other' WHERE period = 202612",
    ],
)
async def test_totals_that_are_removed_or_added_are_found(
    closed: Books, width: str, statement: str
) -> None:
    """Also where they come from another month."""
    await closed.ledger.fold(MIDNIGHT_US + HOUR_US)
    await closed.run(statement.format(width))
    assert await broken(closed) == (WRONG_TOTALS.format(width.removesuffix("s")), None)


async def test_totals_are_compared_as_far_as_they_are_folded(closed: Books) -> None:
    """Hours that are over go into days and months one after the other."""
    first_us = MIDNIGHT_US - 5 * HOUR_US
    await closed.verify()
    for hours in range(6):
        await closed.ledger.fold(first_us + hours * HOUR_US)
        await closed.verify()


async def test_month_made_anew_does_not_fit_the_one_after_it(closed: Books) -> None:
    """Every hash of November fits, and December began with another root."""
    closed.clock.advance(40 * 86_400)
    await closed.deliver([])
    await closed.close(202612)
    await closed.run("UPDATE usage_records SET units = 0 WHERE sequence = 1")
    for table in ("usage_checkpoints", "usage_period_totals"):
        await closed.run(f"DELETE FROM {table} WHERE period = {NOVEMBER}")  # noqa: S608 - of constants
    await closed.run("UPDATE usage_periods SET state = 'closing' WHERE period = 202611")
    await closed.close()
    with pytest.raises(PeriodBroken, match="root of the month before"):
        await closed.verify(202612)


async def test_open_and_pruned_months_cannot_be_verified(books: Books) -> None:
    """There is nothing to compare with, or nothing to compare."""
    await books.deliver(november("a"))
    with pytest.raises(PeriodOpen):
        await books.verify()
    await books.close()
    await books.store.prune(NOVEMBER, actor=TESTER, on_lot=lambda _count: None)
    with pytest.raises(PeriodPruned):
        await books.verify()


def record(sequence: int, **changes: object) -> list[Any]:
    """Make a record as the database has it."""
    values: dict[str, object] = dict.fromkeys(MEMBERS, 1)
    values |= dict.fromkeys(TEXTS, "t") | {"sequence": sequence, "is_test": 0, "outcome": "ok"}
    values |= {"counted_at_us": MIDNIGHT_US - 1, "period": NOVEMBER} | changes
    return [values[name] for name in MEMBERS]


def test_canonical_bytes_are_those_of_the_document() -> None:
    """Whoever reads `docs/billing.md` can make them, and the hash, again."""
    assert (
        canonical(record(7, tenant_id="ten_ä"))
        == (
            '[7,"t",1,1796083199999999,202611,"ten_ä","t","t","t","t",1,1,false,1,1,1,1,"ok","t","t"]'
        ).encode()
    )
    link = Link(0, 0, chain_start(NOVEMBER, "0" * 64))
    lot = next_lot(link, [record(1), record(2)], period=NOVEMBER, through=2)
    head = sha256(f"tollgate usage period v1\n202611\n{'0' * 64}\n".encode()).digest()
    for number in (1, 2):
        head = sha256(head + canonical(record(number))).digest()
    assert lot.link.head == head.hex()


def test_both_databases_have_the_same_bytes() -> None:
    """SQLite's truth is a number."""
    assert canonical(record(1, is_test=1)) == canonical(record(1, is_test=True))


@given(st.sets(st.integers(1, LOT), max_size=40))
def test_marks_are_read_as_they_are_written(offsets: set[int]) -> None:
    """Whatever numbers a lot has."""
    marks = tuple(mark_of(record(100 + offset, units=offset)) for offset in sorted(offsets))
    assert unpack_marks(pack_marks(marks, after=100), after=100) == marks


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=30, unique=True), st.data())
def test_first_difference_is_the_first(units: list[int], data: st.DataObject) -> None:
    """One record that is changed, removed or added is found at its place."""
    marks = [mark_of(record(2 * place, units=one)) for place, one in enumerate(units)]
    assert first_difference(marks, marks) is None
    place = data.draw(st.integers(0, len(marks) - 1))
    number = marks[place].sequence
    other = mark_of(record(number, units=0))
    changed = [*marks[:place], other, *marks[place + 1 :]]
    assert first_difference(marks, changed) == ("changed", number, place)
    assert first_difference(marks, marks[:place] + marks[place + 1 :]) == ("removed", number, place)
    added = [*marks[: place + 1], Mark(number + 1, other.content), *marks[place + 1 :]]
    assert first_difference(marks, added) == ("added", number + 1, place + 1)
