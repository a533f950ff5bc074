"""The SQL book of usage: every record once, and how far each journal has been delivered.

A batch of segments goes in with one statement and is taken apart by the database; Python never
decodes it.
"""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, NamedTuple

from sqlalchemy import select, text, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.usage.book import return_numbers, take_book
from gateway.usage.errors import LedgerUnavailable
from gateway.usage.insertion import insert_all, insert_new, keep_conflicts
from gateway.usage.periods import HOUR_US
from gateway.usage.segment_file import Segments
from gateway.usage.tables import usage_journals
from gateway.usage.totals import add_totals, fold_hour

_REMOVE: Final = text("DELETE FROM usage_records WHERE sequence > :last_sequence")
_PUBLISH: Final = text(
    "INSERT INTO usage_journals (journal_id, position, complete_through_us, is_closed)"
    " VALUES (:journal_id, :position, :complete_through_us, :is_closed)"
    " ON CONFLICT (journal_id) DO UPDATE SET position = excluded.position,"
    " complete_through_us = excluded.complete_through_us, is_closed = excluded.is_closed"
)
_LOCK: Final = text("LOCK TABLE usage_journals IN SHARE ROW EXCLUSIVE MODE")
_MAX_LOGGED: Final = 20

logger = logging.getLogger(__name__)


class JournalState(NamedTuple):
    """What the ledger knows of a journal."""

    position: int
    """The last segment it has taken."""

    complete_through_us: int
    """Every record of the journal before this moment is in the ledger."""

    floor_us: int
    """No reader has been promised more than this; later records may not fall before it."""


class Ledger:
    """Take usage records from journals, each exactly once."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._insert_all = insert_all(engine.dialect.name)
        self._insert_new = insert_new(engine.dialect.name)
        self._keep_conflicts = keep_conflicts(engine.dialect.name)
        self._folded_through_us = 0
        self.conflicts = 0
        """Records that were not billed, since the ledger has others under their ids."""
        self.missing_segments = 0
        """Segments of journals that another ledger had taken, and this one has not."""

    async def join(
        self, journal_id: str, *, now_us: int, discarded_through: int = 0, is_alone: bool = False
    ) -> JournalState:
        """Let a journal hold the watermark of all readers back until it leaves.

        A journal that left cleanly joins at the highest moment promised so far, and nobody promises
        anything meanwhile: what readers were told stays true. One that did not
        stays where it was, and an unknown one promises nothing, until it has delivered.

        Threat: a ledger that was put back from an older copy would be short of what the journal let
        go of since, and nobody would know. It is told once, in the log and in the count.

        Args:
            journal_id: the journal that joins.
            now_us: wall clock in microseconds since the epoch.
            discarded_through: the last segment that the journal let go of, as a ledger had it.
            is_alone: no other journal delivers here. Those that crashed and will not come back,
                as after a restore of the database alone, hold the watermark back no more.

        Raises:
            LedgerUnavailable: the database did not answer.
        """
        with translated():
            async with self._engine.begin() as connection:
                await lock_promises(connection)
                found = await connection.execute(select(usage_journals))
                known = {row.journal_id: row for row in found}
                floor_us = max([now_us, *(row.complete_through_us for row in known.values())])
                own = known.get(journal_id)
                taken, promised_us = 0, 0
                if own is not None:
                    taken = own.position
                    promised_us = floor_us if own.is_closed else own.complete_through_us
                state = JournalState(max(taken, discarded_through), promised_us, floor_us)
                if is_alone:
                    await connection.execute(update(usage_journals).values(is_closed=True))
                await connection.execute(_PUBLISH, _values(journal_id, state))
        if taken < discarded_through:
            self._tell_missing(journal_id, taken, discarded_through)
        return state

    def _tell_missing(self, journal_id: str, taken: int, discarded_through: int) -> None:
        self.missing_segments += discarded_through - taken
        logger.error(
            "the ledger is an older copy, or another one: it has journal %s up to segment %d, and"
            " %d to %d are gone, since they were delivered: bring the newer ledger back, or find"
            " what is on no bill with `tollgate reconcile --log`",
            journal_id,
            taken,
            taken + 1,
            discarded_through,
        )

    async def take(
        self, journal_id: str, segments: Segments | None, *, position: int, complete_through_us: int
    ) -> int:
        """Insert the records of some segments and move the journal's marks, in one transaction.

        Records that are there already are left as they are, so a repetition adds nothing. One
        whose request id is there with other content is not billed, nor one that may have been
        there before its month was pruned: it is kept in `usage_conflicts`, written to the log, and
        counted once here and in the answer.

        Concurrency: one transaction of the whole ledger after the other, see `gateway.usage.book`.
        Cost: the contents are compared only when fewer rows went in than were sent.

        Raises:
            LedgerUnavailable: nothing was taken, or nobody knows; repeat it.
        """
        state = JournalState(position, complete_through_us, 0)
        conflicts: list[str] = []
        with translated():
            async with self._engine.begin() as connection:
                if segments is not None:
                    conflicts = await self._add(connection, journal_id, segments)
                await connection.execute(_PUBLISH, _values(journal_id, state))
        self.conflicts += len(conflicts)
        if conflicts:
            logger.error(
                "%d usage records are not billed, as the ledger has others under their ids or"
                " their month was pruned: they are kept in usage_conflicts: %s",
                len(conflicts),
                " ".join(conflicts[:_MAX_LOGGED]),
            )
        return len(conflicts)

    async def fold(self, through_us: int) -> None:
        """Fold the hours before a moment into days and months, each in a transaction of its own.

        Whoever comes first does it; until then reports read hours, and are as right.

        Raises:
            LedgerUnavailable: the database did not answer; it is done another time.
        """
        through_us -= through_us % HOUR_US
        while self._folded_through_us < through_us:
            self._folded_through_us = await self._fold_hour(through_us)

    async def _fold_hour(self, through_us: int) -> int:
        with translated():
            async with self._engine.begin() as connection:
                page = await take_book(connection, count=0)
                if page.folded_through_us >= through_us:
                    return page.folded_through_us
                return await fold_hour(connection, page, through_us=through_us)

    async def leave(self, journal_id: str) -> None:
        """Let a journal that has delivered everything hold nobody back any more.

        Raises:
            LedgerUnavailable: the database did not answer.
        """
        closed = (
            update(usage_journals)
            .where(usage_journals.c.journal_id == journal_id)
            .values(is_closed=True)
        )
        with translated():
            async with self._engine.begin() as connection:
                await connection.execute(closed)

    async def _add(
        self, connection: AsyncConnection, journal_id: str, segments: Segments
    ) -> list[str]:
        """Insert what is new and return what is not billed, as JSON.

        Cost: most lots are new throughout, so the numbers are given out as if this one were. Where
        it turns out not to be, it goes in a second time, with a look at each id before.
        """
        page = await take_book(connection, count=segments.record_count)
        parameters = {"records": segments.records, "journal_id": journal_id} | page._asdict()
        inserted = await connection.execute(self._insert_all, parameters)
        conflicts: list[str] = []
        if inserted.rowcount != segments.record_count:
            await connection.execute(_REMOVE, {"last_sequence": page.last_sequence})
            inserted = await connection.execute(self._insert_new, parameters)
            last_sequence = page.last_sequence + inserted.rowcount
            await return_numbers(connection, last_sequence=last_sequence)
            conflicts = list(await connection.scalars(self._keep_conflicts, parameters))
        await add_totals(connection, page)
        return conflicts


async def lock_promises(connection: AsyncConnection) -> None:
    """Let nobody else join or deliver until the transaction ends; readers are not held up.

    Whoever needs the book takes it before. Threat: locks on the rows that are there would miss a
    journal that joins for the first time in another transaction, and with it what it promises.
    SQLite has one writer anyway.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(_LOCK)


@contextmanager
def translated() -> Iterator[None]:
    """Turn the errors of the database into `LedgerUnavailable`."""
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        cause = error.__cause__ if isinstance(error, SQLAlchemyError) else error
        raise LedgerUnavailable(" ".join(str(cause or error).split())) from error


@asynccontextmanager
async def read_only(engine: AsyncEngine, **options: Any) -> AsyncIterator[AsyncConnection]:  # noqa: ANN401 - SQLAlchemy's
    """Open a connection that only reads, and turn its errors into `LedgerUnavailable`.

    Args:
        engine: of the ledger.
        options: more execution options for the connection.
    """
    with translated():
        async with engine.connect() as connection:
            await connection.execution_options(postgresql_readonly=True, **options)
            yield connection


def _values(journal_id: str, state: JournalState) -> dict[str, object]:
    return {
        "journal_id": journal_id,
        "position": state.position,
        "complete_through_us": state.complete_through_us,
        "is_closed": False,
    }
