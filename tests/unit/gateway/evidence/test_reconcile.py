"""Limiter and ledger are compared over a real ledger, with counters that say what a test wants."""

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.database import create_engine
from gateway.evidence.kinds import Finding, Tally
from gateway.evidence.reconcile import Reconciled, Sources, reconcile
from gateway.limits.counted import Counted
from gateway.usage.journal import Journal
from gateway.usage.ledger import Ledger
from gateway.usage.periods import wall_clock_us
from gateway.usage.shipper import Shipper
from tests.receipt_books import usage

HOUR_US = 3_600_000_000


class Books:
    """A ledger and a journal, with what is found between them."""

    def __init__(self, engine: AsyncEngine, folder: Path) -> None:
        self.engine = engine
        self.folder = folder
        self.found: list[tuple[str, str]] = []

    async def record(self, *request_ids: str, is_delivered: bool = True) -> None:
        """Write records of three units each, and deliver them."""
        journal = Journal(self.folder / "worker-0.db", max_bytes=1024 * 1024)
        await journal.open()
        for name in request_ids:
            await journal.record(usage(name, occurred_at_us=journal.stamp()))
        if is_delivered:
            await Shipper(journal, Ledger(self.engine), interval_seconds=60).settle()
        await journal.close()

    async def reconcile(self, counted: Mapping[str, Counted] | None) -> Reconciled:
        """Compare the last hour with a limiter that counted so much."""

        async def read(_tenants: Sequence[str], _period: int) -> Mapping[str, Counted] | None:
            return counted

        def note(finding: Finding) -> None:
            self.found.append((finding.kind.title, finding.subject))

        sources = Sources(self.engine, self.folder, read_counters=read)
        now_us = wall_clock_us()
        return await reconcile(sources, start_us=now_us - HOUR_US, end_us=now_us, tally=Tally(note))


@pytest.fixture
async def books(database_url: str, tmp_path: Path) -> AsyncIterator[Books]:
    """Two requests of three units that are on the bill."""
    folder = tmp_path / "journals"
    folder.mkdir()
    engine = create_engine(database_url)
    opened = Books(engine, folder)
    await opened.record("a", "b")
    yield opened
    await engine.dispose()


@pytest.mark.parametrize(
    ("counted", "kinds"),
    [
        (Counted(6, 0, is_known=True), []),
        (Counted(5, 0, is_known=True), ["limiter_behind"]),
        (Counted(7, 0, is_known=True), ["limiter_ahead"]),
        (Counted(7, 1, is_known=True), ["held"]),
        (Counted(8, 1, is_known=True), ["limiter_ahead"]),
        (Counted(0, 0, is_known=False), ["untold"]),
    ],
    ids=str,
)
async def test_counter_is_compared_with_the_month(
    books: Books, counted: Counted, kinds: list[str]
) -> None:
    """Equal is right; less and more are told apart, and what is in flight is explained."""
    done = await books.reconcile({"tenant": counted})
    assert books.found == [(kind, "tenant") for kind in kinds]
    assert (done.tenants, done.tally.differences) == (1, sum("limiter" in kind for kind in kinds))


async def test_counters_that_cannot_be_read_are_noted(books: Books) -> None:
    """The other accounts are compared all the same."""
    done = await books.reconcile(None)
    assert (books.found, done.tenants, len(done.notes)) == ([], None, 1)


async def test_units_in_a_journal_are_on_their_way(books: Books) -> None:
    """The limiter has counted them already."""
    await books.record("c", is_delivered=False)
    await books.reconcile({"tenant": Counted(9, 0, is_known=True)})
    assert books.found == [("in_journal", "c")]
