"""The shipper: everything in the journal reaches the ledger, once, and promises hold."""

import asyncio
import contextlib
import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from gateway.usage.errors import LedgerUnavailable
from gateway.usage.journal import Journal
from gateway.usage.ledger import Ledger
from gateway.usage.reports import UsageQuery, usage_report
from gateway.usage.segment_file import Segments
from gateway.usage.shipper import Shipper
from tests.unit.gateway.usage.conftest import START_US, Bill, Clock, Pauses, record_of

MINUTE_US = 60_000_000

a_few = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


async def complete_through(bill: Bill) -> int:
    """Return the moment that a reader is promised."""
    query = UsageQuery(START_US, START_US + 1, "month")
    return (await usage_report(bill.engine, query)).complete_through_us


async def opened(bill: Bill) -> tuple[Journal, Shipper]:
    """Start a journal and its shipper, as a server does."""
    journal = bill.journal()
    await journal.open()
    shipper = bill.shipper(journal)
    await shipper.start()
    return journal, shipper


async def crash(shipper: Shipper, journal: Journal) -> None:
    """End without a goodbye: nothing is delivered, the ledger is not told, the file is free."""
    assert shipper._task is not None
    shipper._task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await shipper._task
    await journal.close()


async def take_ledger_away(bill: Bill) -> None:
    """Make the ledger refuse every delivery."""
    async with bill.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE usage_records RENAME TO away"))


async def bring_ledger_back(bill: Bill) -> None:
    """Undo `take_ledger_away`."""
    async with bill.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE away RENAME TO usage_records"))


async def test_records_arrive_unchanged(bill: Bill, journal: Journal) -> None:
    """The database takes the journal's text apart into the same values."""
    records = [
        record_of("a", tenant_id="a:b*{}\n'\"\\,[]\u20ac", units=2**53 + 1, is_test=True),
        record_of("b", model="", bytes_out=0, occurred_at_us=START_US + 7),
    ]
    await asyncio.gather(*(journal.record(record) for record in records))
    shipper = bill.shipper(journal)
    await shipper.start()
    assert await bill.records() == records
    await shipper.close()


async def test_ship_delivers_everything_recorded_before(bill: Bill, journal: Journal) -> None:
    """More segments than one trip takes are delivered by one call."""
    shipper = bill.shipper(journal)
    await shipper.start()
    for number in range(300):
        await journal.record(record_of(f"r{number:03}"))
    await shipper.ship()
    assert len(await bill.records()) == 300
    await shipper.close()


async def test_delivered_segments_leave_the_journal(bill: Bill, journal: Journal) -> None:
    """The journal is as small as the ledger is near."""
    shipper = bill.shipper(journal)
    await shipper.start()
    await journal.record(record_of("r"))
    await shipper.ship()
    assert await journal.read(0, 10) is None
    await shipper.close()


async def test_same_segments_twice_add_nothing(bill: Bill, journal: Journal) -> None:
    """A delivery whose answer was lost is repeated without harm."""
    await asyncio.gather(*(journal.record(record_of(f"r{number}")) for number in range(3)))
    segments = await journal.read(0, 10)
    ledger = Ledger(bill.engine)
    for _ in range(2):
        await ledger.take("journal", segments, position=1, complete_through_us=0)
    assert len(await bill.records()) == 3


async def test_request_id_is_counted_once_over_all_journals(bill: Bill) -> None:
    """The id is the fact; a copy from elsewhere is not another one."""
    ledger = Ledger(bill.engine)
    row = '["r",1794700800000000,"t","k","m","1","v1",1,1,false,0,0,0,0]'
    for name in ("a", "b"):
        segments = Segments(1, 1, f"[{row},{row}]", 2)
        conflicts = await ledger.take(name, segments, position=1, complete_through_us=0)
        assert conflicts == 0
    assert len(await bill.records()) == 1


async def test_restart_after_a_crash_delivers_the_rest_once(bill: Bill) -> None:
    """Some was delivered and discarded, some delivered only, some neither: all is there once."""
    journal = bill.journal()
    await journal.open()
    shipper = bill.shipper(journal)
    await shipper.start()
    await journal.record(record_of("a"))
    await shipper.ship()
    await journal.record(record_of("b"))
    await Ledger(bill.engine).take(
        journal.journal_id, await journal.read(0, 10), position=1, complete_through_us=0
    )
    await journal.record(record_of("c"))
    await crash(shipper, journal)
    again = bill.journal()
    await again.open()
    second = bill.shipper(again)
    await second.start()
    assert [record.request_id for record in await bill.records()] == ["a", "b", "c"]
    await second.close()
    await again.close()


async def test_close_delivers_the_rest(bill: Bill, journal: Journal) -> None:
    """A clean end leaves nothing to do."""
    shipper = bill.shipper(journal)
    await shipper.start()
    await journal.record(record_of("r"))
    await shipper.close()
    assert len(await bill.records()) == 1


async def test_close_without_a_ledger_keeps_the_rest(
    bill: Bill, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be delivered stays, with a warning, and the end is still an end."""
    shipper = bill.shipper(journal)
    await shipper.start()
    await journal.record(record_of("r"))
    await take_ledger_away(bill)
    await shipper.close()
    assert "stays in the journal" in caplog.text
    assert await journal.read(0, 10) is not None


async def test_ledger_away_loses_nothing(bill: Bill, journal: Journal) -> None:
    """A delivery that failed is made again."""
    shipper = bill.shipper(journal)
    await shipper.start()
    await journal.record(record_of("r"))
    await take_ledger_away(bill)
    with pytest.raises(LedgerUnavailable):
        await shipper.ship()
    await bring_ledger_back(bill)
    await shipper.ship()
    assert len(await bill.records()) == 1
    await shipper.close()


async def test_background_backs_off_and_recovers(
    bill: Bill, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    """While the ledger is away the pauses grow; when it is back they are short again."""
    caplog.set_level(logging.WARNING)
    pauses = Pauses()
    shipper = bill.shipper(journal, pauses)
    await shipper.start()
    await take_ledger_away(bill)
    await journal.record(record_of("r"))
    await pauses.until(1)
    for turn in (2, 3):
        pauses.tick.set()
        await pauses.until(turn)
    await bring_ledger_back(bill)
    pauses.tick.set()
    await pauses.until(4)
    assert (pauses.asked, shipper.failures) == ([0.5, 1.0, 2.0, 0.5], 2)
    assert len(await bill.records()) == 1
    await shipper.close()


async def test_calls_during_a_trip_share_the_next(bill: Bill, journal: Journal) -> None:
    """A thousand readers who want fresh numbers cost two deliveries."""
    shipper = bill.shipper(journal)
    await shipper.start()
    first = asyncio.ensure_future(shipper.ship())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    rest = [asyncio.ensure_future(shipper.ship()) for _ in range(1000)]
    await first
    await asyncio.gather(*rest)
    assert shipper.trips == 3  # one by `start`
    await shipper.close()


async def test_complete_through_reaches_now(bill: Bill, journal: Journal, clock: Clock) -> None:
    """With nothing under way, a delivery promises everything up to now."""
    shipper = bill.shipper(journal)
    await shipper.start()
    clock.wall_us += MINUTE_US
    await shipper.ship()
    assert await complete_through(bill) == START_US + MINUTE_US
    await shipper.close()


@given(
    steps=st.lists(
        st.tuples(st.integers(-5, 10), st.integers(0, 3), st.booleans()), min_size=1, max_size=12
    )
)
@a_few
async def test_complete_through_never_passes_an_undelivered_record(
    bill: Bill, steps: list[tuple[int, int, bool]]
) -> None:
    """Whatever arrives while deliveries run and clocks jump: below the promise nothing is added."""
    journal, shipper = await opened(bill)
    promised, seen = 0, {record.request_id for record in await bill.records()}
    waiters: list[asyncio.Future[None]] = []
    for jump_us, arrivals, is_under_way in steps:
        bill.clock.wall_us += jump_us
        for name in bill.names(arrivals):
            record = record_of(name, occurred_at_us=journal.stamp())
            waiters.append(asyncio.ensure_future(journal.record(record)))
        if is_under_way:
            await asyncio.sleep(0)
        await shipper.ship()
        late = [record for record in await bill.records() if record.request_id not in seen]
        assert all(record.occurred_at_us >= promised for record in late)
        seen |= {record.request_id for record in late}
        mark_us = await complete_through(bill)
        assert mark_us >= promised
        promised = mark_us
    await asyncio.gather(*waiters)
    await shipper.close()
    await journal.close()
    assert len(await bill.records()) == bill.serial


LIVES = st.lists(
    st.tuples(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=4), st.booleans()),
    min_size=1,
    max_size=4,
)


@given(lives=LIVES)
@a_few
async def test_journal_equals_ledger_through_crashes(
    bill: Bill, lives: list[tuple[list[tuple[int, bool]], bool]]
) -> None:
    """Any mix of writes, deliveries and crashes ends with every record there once."""
    for writes, is_crash in lives:
        journal, shipper = await opened(bill)
        for arrivals, is_delivered in writes:
            names = bill.names(arrivals)
            await asyncio.gather(*(journal.record(record_of(name)) for name in names))
            if is_delivered:
                await shipper.ship()
        if is_crash:
            await crash(shipper, journal)
        else:
            await shipper.close()
            await journal.close()
    journal, shipper = await opened(bill)
    await crash(shipper, journal)
    found = [record.request_id for record in await bill.records()]
    assert sorted(found) == sorted(f"r{number}" for number in range(bill.serial))


async def test_crashed_journal_holds_the_promise_back(bill: Bill, clock: Clock) -> None:
    """Until it has come back and delivered, what it holds is not promised."""
    crashed, other = bill.journal(), bill.journal(name="other.db")
    await crashed.open()
    await other.open()
    lost, kept = bill.shipper(crashed), bill.shipper(other)
    await lost.start()
    await crashed.record(record_of("r"))
    await crash(lost, crashed)
    await kept.start()
    clock.wall_us += MINUTE_US
    await kept.ship()
    assert await complete_through(bill) == START_US
    again = bill.journal()
    await again.open()
    shipper = bill.shipper(again)
    await shipper.start()
    assert await complete_through(bill) == START_US + MINUTE_US
    for closing in (shipper, kept, again, other):
        await closing.close()


async def test_closed_journal_holds_nobody_back(bill: Bill, clock: Clock) -> None:
    """A worker that left for good does not stop the clock of the bill."""
    gone, other = bill.journal(name="gone.db"), bill.journal()
    shippers = []
    for journal in (gone, other):
        await journal.open()
        shippers.append(bill.shipper(journal))
        await shippers[-1].start()
    await shippers[0].close()
    clock.wall_us += MINUTE_US
    await shippers[1].ship()
    assert await complete_through(bill) == START_US + MINUTE_US
    for closing in (shippers[1], gone, other):
        await closing.close()


async def test_journal_that_returns_keeps_what_others_promised(bill: Bill, clock: Clock) -> None:
    """Its new records are not before any moment that a reader was told, whatever its clock says."""
    other, returning = bill.journal(), bill.journal(name="returning.db")
    await returning.open()
    first = bill.shipper(returning)
    await first.start()
    await first.close()
    await other.open()
    shipper = bill.shipper(other)
    clock.wall_us += MINUTE_US
    await shipper.start()
    promised = await complete_through(bill)
    clock.wall_us -= MINUTE_US
    second = bill.shipper(returning)
    await second.start()
    assert promised == START_US + MINUTE_US == returning.stamp()
    assert await complete_through(bill) == promised
    for closing in (second, shipper, returning, other):
        await closing.close()
