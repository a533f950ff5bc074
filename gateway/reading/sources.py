"""Read records for an export past the server, from its database."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.database import check_schema, open_engine
from gateway.errors import ExportFailed
from gateway.moments import microseconds, moment_of, parse_moment, rfc3339
from gateway.reading.columns import record_cells
from gateway.reading.export import PAGE_RECORDS, Opening, Source, SourcePage
from gateway.reading.standing import read_standing
from gateway.settings import Settings
from gateway.usage.periods import wall_clock_us
from gateway.usage.reading import LedgerRecord, RecordWish, last_sequence, read_records
from gateway.usage.reports import UsageQuery, usage_report


def cut_end(start_us: int, end_us: int | None, complete_through_us: int) -> int:
    """Return where an export ends that should be the same whenever it is read again.

    Raises:
        ExportFailed: nothing that was asked for is complete yet.
    """
    last_us = complete_through_us if end_us is None else min(end_us, complete_through_us)
    if last_us <= start_us:
        complete = rfc3339(moment_of(complete_through_us))
        raise ExportFailed(f"nothing of the range is complete yet: that is up to {complete}")
    return last_us


class DatabaseSource(Source):
    """The ledger of the database that the settings name."""

    def __init__(self, runner: asyncio.Runner, engine: AsyncEngine, wish: RecordWish) -> None:
        self._runner = runner
        self._engine = engine
        self._wish = wish

    def begin(self) -> Opening:
        """Find out where the export ends.

        Raises:
            ExportFailed: nothing that was asked for is complete yet.
            LedgerUnavailable: the database did not answer.
        """
        return self._runner.run(self._begin())

    def until(self, end: str) -> "DatabaseSource":
        """Return the same up to a moment."""
        wish = replace(self._wish, end_us=microseconds(parse_moment(end)))
        return DatabaseSource(self._runner, self._engine, wish)

    def read(self, position: str) -> SourcePage:
        """Read the page behind a sequence number.

        Raises:
            LedgerUnavailable: the database did not answer.
        """
        records = self._runner.run(self._read(int(position)))
        last = str(records[-1].sequence) if records else position
        return SourcePage(record_cells(records), last)

    async def _begin(self) -> Opening:
        standing = await read_standing(self._engine, 0, wall_clock_us())
        start_us, end_us = self._wish.start_us or 0, self._wish.end_us
        end_us = cut_end(start_us, end_us, standing.complete_through_us)
        query = UsageQuery(
            start_us,
            end_us,
            "month",
            tenant_id=self._wish.tenant_id,
            is_test=bool(self._wish.is_test),
        )
        report = await usage_report(self._engine, query)
        requests = sum(row.requests for row in report.rows)
        return Opening("0", rfc3339(moment_of(end_us)), requests)

    async def _read(self, after: int) -> list[LedgerRecord]:
        through = await last_sequence(self._engine)
        chunks = read_records(
            self._engine, self._wish, after=after, through=through, limit=PAGE_RECORDS
        )
        return [record async for chunk in chunks for record in chunk]


@contextmanager
def open_database(settings: Settings, wish: RecordWish) -> Iterator[DatabaseSource]:
    """Open the database for the length of a block.

    Raises:
        SchemaMismatch: it is older or newer than this program.
    """
    with asyncio.Runner() as runner:
        engine = open_engine(settings)
        try:
            runner.run(check_schema(engine))
            yield DatabaseSource(runner, engine, wish)
        finally:
            runner.run(engine.dispose())
