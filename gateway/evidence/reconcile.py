"""Compare four accounts of the same predictions: proxy, limiter, journals and ledger.

Read-only, beside running workers. The order of reading makes it exact while they serve: what is
promised, then the journals, then the ledger; and the limiter between two readings of the ledger.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.evidence.access_log import read_access_logs
from gateway.evidence.bench import SCHEMA, SECOND_US, Bench
from gateway.evidence.journal_records import read_journals
from gateway.evidence.kinds import Kind, Tally
from gateway.evidence.ledger_rows import month_corrections, read_ids, read_range
from gateway.evidence.receipt_check import temporary_database
from gateway.limits.counted import Counted
from gateway.usage.periods import period_of, wall_clock_us
from gateway.usage.promises import journal_promises
from gateway.usage.reports import month_units

ReadCounters = Callable[[Sequence[str], int], Awaitable[Mapping[str, Counted] | None]]
"""Tells what is counted of tenants in a period; None where nobody can tell."""

_SLACK_US: Final = 3600 * SECOND_US
"""How long before its last byte a request can have been recorded, or after it logged."""

_PATIENCE_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.1
_IDS: Final = 500


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the accounts are; what is not given is not compared."""

    engine: AsyncEngine
    journals: Path
    logs: Sequence[Path] = ()
    read_counters: ReadCounters | None = None
    tenant_ids: Sequence[str] = ()


@dataclass(slots=True)
class Reconciled:
    """What was compared; `tally` says what was found."""

    start_us: int
    end_us: int
    """Not behind the moment up to which the ledger is complete."""

    tally: Tally
    answered: int | None = None
    """Answers in the proxy's log; None where none was given."""

    rows: int | None = None
    held: int = 0
    """Records in journals, delivered or not."""

    tenants: int | None = None
    """Whose counters were compared; None where nobody could tell them."""

    notes: list[str] = field(default_factory=list)


def ignore_progress(_told: str) -> None:
    """Stand where nobody wants to know how far it is."""


async def reconcile(
    sources: Sources,
    *,
    start_us: int,
    end_us: int,
    tally: Tally,
    tell: Callable[[str], None] = ignore_progress,
) -> Reconciled:
    """Compare everything that happened in a half-open range.

    Cost: memory is bounded; the log is read in a thread and matched on disk.

    Raises:
        LedgerUnavailable: the database did not answer.
        JournalUnavailable: a journal cannot be read.
        EvidenceUnreadable, OSError: a log cannot be read, or is none.
    """
    complete_through_us = await read_complete_through(sources.engine)
    done = Reconciled(start_us, min(end_us, complete_through_us), tally)
    with temporary_database(SCHEMA) as database:
        bench = Bench(database, tally)
        await asyncio.to_thread(bench.take_journals, read_journals(sources.journals))
        async for rows in read_range(
            sources.engine, start_us=start_us - _SLACK_US, end_us=done.end_us + SECOND_US
        ):
            await asyncio.to_thread(bench.take_rows, rows)
        for ids in bench.unknown_ids(_IDS):
            bench.take_rows(await read_ids(sources.engine, ids))
        await asyncio.to_thread(bench.compare_journals, complete_through_us=complete_through_us)
        done.held = bench.held
        if sources.logs:
            await asyncio.to_thread(_compare_log, bench, sources, done, tell=tell)
        if sources.read_counters is not None:
            await _compare_counters(sources, bench, done)
    return done


async def read_complete_through(engine: AsyncEngine) -> int:
    """Return the moment before which the ledger has everything; 0 while it promises nothing.

    Raises:
        LedgerUnavailable: the database did not answer.
    """
    promises = await journal_promises(engine)
    in_use = [one.complete_through_us for one in promises if not one.is_closed]
    return min(in_use) if in_use else max((one.complete_through_us for one in promises), default=0)


def _compare_log(
    bench: Bench, sources: Sources, done: Reconciled, *, tell: Callable[[str], None]
) -> None:
    bench.take_log(
        read_access_logs(sources.logs, tell),
        start_us=done.start_us - SECOND_US,
        end_us=done.end_us + _SLACK_US,
    )
    bench.compare_log(start_us=done.start_us, end_us=done.end_us, now_us=wall_clock_us())
    done.answered, done.rows = bench.answered, bench.rows


async def _compare_counters(sources: Sources, bench: Bench, done: Reconciled) -> None:
    """Compare this month's units: the limiter must lie between two readings of the ledger.

    The second one is taken when the ledger has all that was recorded while the limiter was read.
    """
    assert sources.read_counters is not None  # noqa: S101 - the caller looked
    period = period_of(wall_clock_us())
    before = await month_units(sources.engine, period)
    tenant_ids = sorted({*sources.tenant_ids, *before})
    counted = await sources.read_counters(tenant_ids, period)
    if counted is None:
        done.notes.append("the limiter's counters cannot be read")
        return
    await _wait_until_complete(sources.engine, wall_clock_us())
    after = await month_units(sources.engine, period)
    corrected = await month_corrections(sources.engine, period)
    held, lost = bench.held_units(), _Lost(bench.broken_requests(), bench.largest_requests())
    done.tenants = len(tenant_ids)
    for tenant_id, one in counted.items():
        correction = corrected.get(tenant_id, 0)
        least = before.get(tenant_id, 0) - max(0, correction)
        most = after.get(tenant_id, 0) + held.get(tenant_id, 0) - min(0, correction)
        _judge(done.tally, tenant_id, one, bounds=(least, most), lost=lost)


@dataclass(slots=True)
class _Lost:
    """Requests that ended with their worker; each explains units of one tenant, and only once.

    The proxy does not know whose they were, nor of how many units.
    """

    requests: int
    largest: Mapping[str, int]
    """By tenant, the units of its largest request that is billed."""

    def take(self, tenant_id: str, units: int) -> int:
        """Return how many of them it took to hold these units; 0 where there are too few."""
        largest = self.largest.get(tenant_id, max(self.largest.values(), default=0))
        wanted = -(-units // largest) if largest else self.requests + 1
        if wanted > self.requests:
            return 0
        self.requests -= wanted
        return wanted


def _judge(
    tally: Tally, tenant_id: str, one: Counted, *, bounds: tuple[int, int], lost: _Lost
) -> None:
    """Compare one tenant's counter with what the ledger had before and after it was read.

    What it is ahead must be the units of requests in flight, or of some that ended with their
    worker.
    """
    least, most = bounds
    told = f"{one.units} counted, {least} to {most} billed"
    if not one.is_known:
        if least:
            tally.note(Kind.UNTOLD, tenant_id, told)
    elif one.units < least:
        tally.note(Kind.LIMITER_BEHIND, tenant_id, told)
    elif one.units > most:
        told = f"{told}; {one.leased} in flight"
        unexplained = one.units - most - one.leased
        taken = lost.take(tenant_id, unexplained) if unexplained > 0 else 0
        if taken:
            told = f"{told}, {taken} requests ended with their worker"
        is_held = unexplained <= 0 or taken > 0
        tally.note(Kind.HELD if is_held else Kind.LIMITER_AHEAD, tenant_id, told)


async def _wait_until_complete(engine: AsyncEngine, moment_us: int) -> None:
    """Wait for the deliveries of a moment; without workers there is nothing to wait for."""
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < give_up:
        promises = await journal_promises(engine)
        in_use = [one for one in promises if not one.is_closed]
        if all(one.complete_through_us > moment_us for one in in_use):
            return
        await asyncio.sleep(_POLL_SECONDS)
