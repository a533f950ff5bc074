"""Every record has a number without a gap, and counts in a month that was open."""

import logging
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Table, case, func, select, update

from gateway.usage.ledger import Ledger
from gateway.usage.pieces import Bucket
from gateway.usage.record import UsageRecord
from gateway.usage.reports import UsageQuery, usage_report
from gateway.usage.segment_file import Segments
from gateway.usage.tables import usage_book, usage_conflicts, usage_days, usage_hours, usage_records
from gateway.usage.tables import usage_months as months
from tests.unit.gateway.usage.conftest import START_US, Bill, record_of
from tests.unit.gateway.usage.test_reports import DECEMBER_US

OLD_MEMBERS = 14
BUCKETS: tuple[Bucket, ...] = ("hour", "day", "month")


def lot_of(*records: UsageRecord, members: int = len(UsageRecord._fields)) -> Segments:
    """Write records as a journal does."""
    arrays = [tuple(record)[:members] for record in records]
    return Segments(1, 1, orjson.dumps(arrays).decode(), len(arrays))


async def take(bill: Bill, *records: UsageRecord, ledger: Ledger | None = None) -> int:
    """Deliver records as one lot and return how many clash with what is there."""
    ledger = ledger or Ledger(bill.engine)
    return await ledger.take("j", lot_of(*records), position=1, complete_through_us=0)


async def numbered(bill: Bill) -> list[tuple[int, str]]:
    """Return the numbers and ids of all records, by number."""
    columns = (usage_records.c.sequence, usage_records.c.request_id)
    async with bill.engine.connect() as connection:
        found = await connection.execute(select(*columns).order_by("sequence"))
        return [(number, name) for number, name in found]


async def close_months_before(bill: Bill, moment_us: int) -> None:
    """Say that everything before a moment is closed."""
    async with bill.engine.begin() as connection:
        await connection.execute(update(usage_book).values(open_from_us=moment_us))


async def test_numbers_go_on_from_lot_to_lot(bill: Bill) -> None:
    """In the order of the journal."""
    await take(bill, record_of("b"), record_of("a"))
    await take(bill, record_of("c"))
    assert await numbered(bill) == [(1, "b"), (2, "a"), (3, "c")]


async def test_what_is_there_takes_no_number(bill: Bill) -> None:
    """Neither what was delivered before, nor what stands in a lot twice."""
    await take(bill, record_of("a"), record_of("b"))
    await take(bill, record_of("a"), record_of("b"))
    await take(bill, record_of("c"), record_of("a"), record_of("c"), record_of("d"))
    assert await numbered(bill) == [(1, "a"), (2, "b"), (3, "c"), (4, "d")]


async def test_other_content_is_kept_and_told_once(
    bill: Bill, caplog: pytest.LogCaptureFixture
) -> None:
    """However often the journal is delivered: from another lot, or from the same."""
    caplog.set_level(logging.ERROR)
    ledger = Ledger(bill.engine)
    await take(bill, record_of("a"), ledger=ledger)
    lot = (record_of("a", units=2), record_of("b"), record_of("b", model="other"))
    outcomes = [await take(bill, *lot, ledger=ledger) for _ in range(3)]
    assert (outcomes, ledger.conflicts) == ([2, 0, 0], 2)
    async with bill.engine.connect() as connection:
        found = await connection.execute(select(usage_conflicts).order_by("request_id"))
        kept = [orjson.loads(row.record) for row in found]
    assert kept == [list(lot[0]), list(lot[2])]
    assert [entry.levelno for entry in caplog.records] == [logging.ERROR]


async def test_journal_of_an_earlier_version_is_delivered(bill: Bill) -> None:
    """Its records do not say how they ended; they are answered predictions, and no conflict."""
    old = lot_of(record_of("a"), record_of("b"), members=OLD_MEMBERS)
    ledger = Ledger(bill.engine)
    for _ in range(2):
        assert await ledger.take("j", old, position=1, complete_through_us=0) == 0
    assert await bill.records() == [record_of("a"), record_of("b")]


async def test_late_record_counts_in_the_open_month(bill: Bill) -> None:
    """It keeps the time that it occurred, and the closed month stays what it was."""
    await take(bill, record_of("before"))
    await close_months_before(bill, DECEMBER_US)
    on_time = record_of("on time", occurred_at_us=DECEMBER_US + 1)
    await take(bill, record_of("late"), on_time)
    columns = (
        usage_records.c[name]
        for name in ("request_id", "occurred_at_us", "counted_at_us", "period")
    )
    async with bill.engine.connect() as connection:
        found = (await connection.execute(select(*columns).order_by("sequence"))).all()
    assert [tuple(row) for row in found] == [
        ("before", START_US, START_US, 202611),
        ("late", START_US, DECEMBER_US, 202612),
        ("on time", DECEMBER_US + 1, DECEMBER_US + 1, 202612),
    ]


async def sums_of(bill: Bill, table: Table) -> tuple[int, ...]:
    """Add up everything that counts in a table of records or of totals."""
    is_raw = table is usage_records
    answered = case((table.c.outcome == "ok", 1), else_=0) if is_raw else table.c.requests
    names = ("rows", "units", "compute_us", "bytes_in", "bytes_out")
    sums = (func.sum(table.c[name]) for name in names)
    async with bill.engine.connect() as connection:
        [row] = await connection.execute(select(func.sum(answered), *sums))
    return tuple(int(value or 0) for value in row)


RECORD = st.tuples(
    st.integers(0, 9), st.integers(-(10**11), 10**11), st.sampled_from(["ok", "lost"])
)
NOTHING: dict[str, Any] = {"rows": 0, "units": 0, "compute_us": 0, "bytes_in": 0, "bytes_out": 0}


@given(
    lots=st.lists(
        st.tuples(st.lists(RECORD, min_size=1, max_size=6), st.integers(-(10**11), 10**11)),
        min_size=1,
        max_size=4,
    )
)
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_totals_are_the_sums_of_the_records(
    bill: Bill, lots: list[tuple[list[tuple[int, int, str]], int]]
) -> None:
    """Whatever comes twice, late, or as a mark, and whenever hours are folded; no number misses."""
    ledger = Ledger(bill.engine)
    for lot, folded_us in lots:
        records = [
            record_of(f"r{name}{outcome}", occurred_at_us=START_US + shift_us, outcome=outcome)
            for name, shift_us, outcome in lot
        ]
        marked = [one._replace(**NOTHING) if one.outcome == "lost" else one for one in records]
        await take(bill, *marked, ledger=ledger)
        await ledger.fold(START_US + folded_us)
        raw = await sums_of(bill, usage_records)
        assert await sums_of(bill, usage_hours) == raw
        for bucket in BUCKETS:
            query = UsageQuery(START_US - 10**12, START_US + 10**12, bucket)
            rows = (await usage_report(bill.engine, query)).rows
            assert (sum(row.requests for row in rows), sum(row.rows for row in rows)) == raw[:2]
    await ledger.fold(START_US + 10**12)
    for table in (usage_days, months):
        assert await sums_of(bill, table) == await sums_of(bill, usage_records)
    numbers = [number for number, _ in await numbered(bill)]
    assert numbers == list(range(1, len(numbers) + 1))
