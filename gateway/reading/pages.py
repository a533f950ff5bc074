"""Write one page of records, and say where it ends."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.reading.answer import Answer
from gateway.reading.columns import record_cells
from gateway.reading.cursors import Cursors
from gateway.reading.record_query import RecordQuery
from gateway.usage.reading import RecordWish, last_sequence, read_records


@dataclass(frozen=True, slots=True)
class PageBounds:
    """Behind which record a page begins, and with which it ends at the latest if that is known."""

    after: int
    through: int | None


def read_bounds(query: RecordQuery, cursors: Cursors) -> PageBounds:
    """Read the cursors of a query.

    Raises:
        CursorInvalid: one is none of this query.
    """
    return PageBounds(
        after=0 if query.after is None else cursors.read(query.after),
        through=None if query.through is None else cursors.read(query.through),
    )


async def write_page(
    answer: Answer, engine: AsyncEngine, wish: RecordWish, *, bounds: PageBounds, limit: int
) -> tuple[int, int]:
    """Write the records of a page; return how many there are, and the number of the last.

    Raises:
        LedgerUnavailable: the database did not answer.
    """
    through = await last_sequence(engine) if bounds.through is None else bounds.through
    count, last = 0, bounds.after
    chunks = read_records(engine, wish, after=bounds.after, through=through, limit=limit)
    async for records in chunks:
        await answer.add(record_cells(records))
        count, last = count + len(records), records[-1].sequence
    return count, last


def end_cursor(
    query: RecordQuery, cursors: Cursors, bounds: PageBounds, *, written: tuple[int, int]
) -> str:
    """Return the cursor of the place behind a page, as it was given where that is known.

    Threat: the end of a tenant's page is its own last record, not the last one of all: that would
    change with what others do.
    """
    count, last = written
    is_whole = count < query.limit or last == bounds.through
    if query.through is not None and is_whole:
        return query.through
    if count == 0 and query.after is not None:
        return query.after
    return cursors.write(last)
