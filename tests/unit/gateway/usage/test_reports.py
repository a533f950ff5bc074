"""Reports: the right rows in the right buckets, for the right reader."""

import itertools
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from gateway.usage.errors import LedgerUnavailable, RangeInvalid
from gateway.usage.ledger import Ledger
from gateway.usage.periods import DAY_US, HOUR_US
from gateway.usage.pieces import Bucket
from gateway.usage.record import UsageRecord
from gateway.usage.reports import UsageQuery, month_units, usage_report
from gateway.usage.segment_file import Segments
from tests.unit.gateway.usage.conftest import Bill, record_of


def us(year: int, month: int, day: int, *, hour: int = 0) -> int:
    """Return a moment in microseconds since the epoch."""
    return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp()) * 1_000_000


DECEMBER_US, JANUARY_US, FEBRUARY_US = us(2026, 12, 1), us(2027, 1, 1), us(2027, 2, 1)


async def put(bill: Bill, *records: UsageRecord) -> None:
    """Put records into the ledger under ids of their own."""
    named = [
        record._replace(request_id=name)
        for name, record in zip(bill.names(len(records)), records, strict=True)
    ]
    text = orjson.dumps([tuple(record) for record in named]).decode()
    segments = Segments(1, 1, text, len(named))
    await Ledger(bill.engine).take("j", segments, position=1, complete_through_us=0)


def at(moment_us: int, **changes: object) -> UsageRecord:
    """Return a record of a moment."""
    return record_of("", occurred_at_us=moment_us, **changes)


async def test_range_is_half_open(bill: Bill) -> None:
    """The first microsecond is in, the last is not, so that ranges join without overlap."""
    await put(bill, *(at(JANUARY_US + shift) for shift in (-1, 0, HOUR_US - 1, HOUR_US)))
    report = await usage_report(bill.engine, UsageQuery(JANUARY_US, JANUARY_US + HOUR_US, "hour"))
    assert [row.requests for row in report.rows] == [2]


@pytest.mark.parametrize(
    ("bucket", "starts"),
    [
        ("hour", [JANUARY_US - HOUR_US, JANUARY_US, FEBRUARY_US - HOUR_US, FEBRUARY_US]),
        ("day", [JANUARY_US - DAY_US, JANUARY_US, FEBRUARY_US - DAY_US, FEBRUARY_US]),
        ("month", [DECEMBER_US, JANUARY_US, FEBRUARY_US]),
    ],
)
async def test_buckets_turn_with_the_calendar(
    bill: Bill, bucket: Bucket, starts: list[int]
) -> None:
    """The last microsecond of a month or a year is in the old bucket."""
    edges = (JANUARY_US, FEBRUARY_US)
    await put(bill, *(at(edge + shift) for edge in edges for shift in (-1, 0)))
    query = UsageQuery(DECEMBER_US, us(2027, 3, 1), bucket)
    rows = (await usage_report(bill.engine, query)).rows
    assert [row.start_us for row in rows] == starts
    assert sum(row.requests for row in rows) == 4


async def test_leap_day_has_its_bucket(bill: Bill) -> None:
    """29 February 2028 is a day of February."""
    await put(bill, at(us(2028, 2, 29, hour=23)))
    query = UsageQuery(us(2028, 1, 1), us(2029, 1, 1), "month")
    (row,) = (await usage_report(bill.engine, query)).rows
    assert (row.start_us, row.end_us) == (us(2028, 2, 1), us(2028, 3, 1))


async def test_rows_are_cut_to_the_range(bill: Bill) -> None:
    """A row never claims time that was not asked for."""
    start_us, end_us = JANUARY_US - 7, FEBRUARY_US + 9
    await put(bill, *(at(moment) for moment in (start_us, JANUARY_US, end_us - 1)))
    rows = (await usage_report(bill.engine, UsageQuery(start_us, end_us, "month"))).rows
    assert [(row.start_us, row.end_us) for row in rows] == [
        (start_us, JANUARY_US),
        (JANUARY_US, FEBRUARY_US),
        (FEBRUARY_US, end_us),
    ]


async def test_order_is_time_then_keys_in_the_order_asked(bill: Bill) -> None:
    """By code points, so that every database gives the same."""
    moments, models, keys = (JANUARY_US + HOUR_US, JANUARY_US), ("b", "B", "a"), ("k2", "k1")
    await put(
        bill,
        *(
            at(moment, model=model, key_id=key)
            for moment, model, key in itertools.product(moments, models, keys)
        ),
    )
    query = UsageQuery(JANUARY_US, FEBRUARY_US, "hour", ("model", "key"))
    rows = (await usage_report(bill.engine, query)).rows
    assert [(row.start_us, *row.keys) for row in rows] == list(
        itertools.product(sorted(moments), sorted(models), sorted(keys))
    )


async def test_sums_are_whole_numbers(bill: Bill) -> None:
    """No sum passes through a float: 2^53 + 1 survives."""
    await put(bill, at(JANUARY_US, units=2**53, rows=3), at(JANUARY_US, units=1, rows=4))
    (row,) = (await usage_report(bill.engine, UsageQuery(JANUARY_US, FEBRUARY_US, "day"))).rows
    assert (row.requests, row.rows, row.units) == (2, 7, 2**53 + 1)
    assert type(row.units) is int


async def test_tenant_sees_only_its_own(bill: Bill) -> None:
    """Another tenant's usage is neither listed nor added, whatever its id looks like."""
    ids = ("a", "a%", "a_", "A", "a\n", "a'--", "%")
    await put(bill, *(at(JANUARY_US, tenant_id=tenant_id) for tenant_id in ids))
    for tenant_id in ids:
        query = UsageQuery(JANUARY_US, FEBRUARY_US, "day", ("tenant",), tenant_id)
        rows = (await usage_report(bill.engine, query)).rows
        assert [(row.keys, row.requests) for row in rows] == [((tenant_id,), 1)]


async def test_everybody_is_grouped_by_tenant(bill: Bill) -> None:
    """Without a tenant the report is on all of them."""
    await put(bill, at(JANUARY_US, tenant_id="b"), at(JANUARY_US, tenant_id="a"))
    query = UsageQuery(JANUARY_US, FEBRUARY_US, "month", ("tenant",))
    rows = (await usage_report(bill.engine, query)).rows
    assert [row.keys for row in rows] == [("a",), ("b",)]


async def test_test_keys_are_apart(bill: Bill) -> None:
    """What a test key did is on no bill, and can still be asked for."""
    await put(bill, at(JANUARY_US, is_test=True, rows=5), at(JANUARY_US, rows=7))
    billed = await usage_report(bill.engine, UsageQuery(JANUARY_US, FEBRUARY_US, "day"))
    tests = await usage_report(
        bill.engine, UsageQuery(JANUARY_US, FEBRUARY_US, "day", is_test=True)
    )
    assert [[row.rows for row in report.rows] for report in (billed, tests)] == [[7], [5]]


async def test_no_usage_is_no_rows(bill: Bill) -> None:
    """An empty ledger answers, and promises nothing."""
    report = await usage_report(bill.engine, UsageQuery(JANUARY_US, FEBRUARY_US, "hour"))
    assert (report.rows, report.complete_through_us) == ([], 0)


@pytest.mark.parametrize(
    ("start_us", "end_us"),
    [(5, 5), (6, 5), (-1, 5), (0, 10**30), (JANUARY_US, us(2029, 1, 1))],
    ids=["empty", "reversed", "before 1970", "after 9999", "too many hours"],
)
async def test_range_without_meaning_is_refused(bill: Bill, start_us: int, end_us: int) -> None:
    """The message may be shown to the caller."""
    with pytest.raises(RangeInvalid) as caught:
        await usage_report(bill.engine, UsageQuery(start_us, end_us, "hour"))
    assert caught.value.message


async def test_report_is_the_same_from_totals_and_from_records(bill: Bill) -> None:
    """However wide the buckets are, the range is cut or hours are folded: each is counted once."""
    moments = (DECEMBER_US + 5, JANUARY_US - 1, JANUARY_US, JANUARY_US + DAY_US + 7, FEBRUARY_US)
    await put(bill, *(at(moment, units=3**place) for place, moment in enumerate(moments)))
    edges = sorted({moment + shift for moment in moments for shift in (0, 1, -HOUR_US, DAY_US)})
    buckets: tuple[Bucket, ...] = ("hour", "day", "month")
    await Ledger(bill.engine).fold(JANUARY_US + DAY_US + HOUR_US)
    for (start_us, end_us), bucket in itertools.product(itertools.combinations(edges, 2), buckets):
        rows = (await usage_report(bill.engine, UsageQuery(start_us, end_us, bucket))).rows
        expected = [3**n for n, moment in enumerate(moments) if start_us <= moment < end_us]
        assert sum(row.units for row in rows) == sum(expected)
        assert sum(row.requests for row in rows) == len(expected)


async def test_mark_of_a_lost_answer_is_no_usage(bill: Bill) -> None:
    """It marks a record that stays on the bill, and makes no line of its own."""
    mark = at(JANUARY_US, outcome="lost", corrects="r", rows=0, units=0)
    await put(bill, at(JANUARY_US), mark, mark._replace(occurred_at_us=JANUARY_US + HOUR_US))
    for end_us in (JANUARY_US + 2 * HOUR_US, JANUARY_US + 2 * HOUR_US - 1):
        report = await usage_report(bill.engine, UsageQuery(JANUARY_US, end_us, "hour"))
        assert [(row.start_us, row.requests) for row in report.rows] == [(JANUARY_US, 1)]


async def test_month_units_are_what_was_billed(bill: Bill) -> None:
    """A limiter that starts goes on where the ledger stands."""
    await put(
        bill,
        at(JANUARY_US - 1, units=100),
        at(JANUARY_US, units=3),
        at(FEBRUARY_US - 1, units=4),
        at(FEBRUARY_US, units=100),
        at(JANUARY_US, units=50, is_test=True),
        at(JANUARY_US, units=9, tenant_id="ten_b"),
    )
    assert await month_units(bill.engine, 202701) == {"ten_a": 7, "ten_b": 9}


async def test_ledger_away_is_a_fact(bill: Bill) -> None:
    """Readers get an error of ours, not one of the driver."""
    async with bill.engine.begin() as connection:
        for table in ("usage_records", "usage_hours"):
            await connection.execute(text(f"DROP TABLE {table}"))
    with pytest.raises(LedgerUnavailable):
        await usage_report(bill.engine, UsageQuery(JANUARY_US, FEBRUARY_US, "hour"))
    with pytest.raises(LedgerUnavailable):
        await month_units(bill.engine, 202701)


@given(
    shifts=st.lists(st.integers(-40 * DAY_US, 40 * DAY_US), max_size=15),
    cuts=st.lists(st.integers(-50 * DAY_US, 50 * DAY_US), min_size=2, max_size=5, unique=True),
    bucket=st.sampled_from(["hour", "day", "month"]),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_adjoining_ranges_add_up_to_the_whole(
    bill: Bill, *, shifts: list[int], cuts: list[int], bucket: Bucket
) -> None:
    """However a range is cut, the pieces hold what the whole holds, once."""
    if shifts:
        await put(bill, *(at(JANUARY_US + shift, units=3) for shift in shifts))
    moments = sorted(JANUARY_US + cut for cut in cuts)
    whole = await usage_report(bill.engine, UsageQuery(moments[0], moments[-1], bucket))
    pieces = [
        row
        for start_us, end_us in itertools.pairwise(moments)
        for row in (await usage_report(bill.engine, UsageQuery(start_us, end_us, bucket))).rows
    ]
    assert sum(row.units for row in pieces) == sum(row.units for row in whole.rows)
    assert all(row.start_us < row.end_us for row in pieces)
    for earlier, later in itertools.pairwise(pieces):
        assert earlier.end_us <= later.start_us
