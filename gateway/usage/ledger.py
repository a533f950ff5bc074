"""The SQL book of usage: every record once, and how far each journal has been delivered.

A batch of segments goes in with one statement and is taken apart by the database; Python never
decodes it.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from sqlalchemy import TextClause, select, text, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.usage.errors import LedgerUnavailable
from gateway.usage.record import UsageRecord
from gateway.usage.segment_file import Segments
from gateway.usage.tables import usage_journals, usage_records

_NUMBERS: Final = ("occurred_at_us", "rows", "units", "queue_us", "compute_us")
_SIZES: Final = ("bytes_in", "bytes_out")
_SOURCES: Final = {
    "sqlite": "json_each(:records)",
    "postgresql": "jsonb_array_elements(CAST(:records AS jsonb)) AS each (value)",
}
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
        self._insert = _insert(engine.dialect.name)
        self._conflicts = _conflicts(engine.dialect.name)

    async def join(self, journal_id: str, *, now_us: int, is_alone: bool = False) -> JournalState:
        """Let a journal hold the watermark of all readers back until it leaves.

        A journal that left cleanly joins at the highest moment promised so far, and nobody promises
        anything meanwhile: what readers were told stays true. One that did not
        stays where it was, and an unknown one promises nothing, until it has delivered.

        Args:
            journal_id: the journal that joins.
            now_us: wall clock in microseconds since the epoch.
            is_alone: no other journal delivers here. Those that crashed and will not come back,
                as after a restore of the database alone, hold the watermark back no more.

        Raises:
            LedgerUnavailable: the database did not answer.
        """
        with translated():
            async with self._engine.begin() as connection:
                await self._lock_promises(connection)
                found = await connection.execute(select(usage_journals))
                known = {row.journal_id: row for row in found}
                floor_us = max([now_us, *(row.complete_through_us for row in known.values())])
                own = known.get(journal_id)
                state = (
                    JournalState(0, 0, floor_us)
                    if own is None
                    else JournalState(
                        own.position,
                        floor_us if own.is_closed else own.complete_through_us,
                        floor_us,
                    )
                )
                if is_alone:
                    await connection.execute(update(usage_journals).values(is_closed=True))
                await connection.execute(_PUBLISH, _values(journal_id, state))
        return state

    async def take(
        self, journal_id: str, segments: Segments | None, *, position: int, complete_through_us: int
    ) -> int:
        """Insert the records of some segments and move the journal's marks, in one transaction.

        Records that are there already are left as they are, so a repetition adds nothing. One
        whose request id is there with other content is not billed: it is written to the log and
        counted in the answer.

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
        if conflicts:
            logger.error(
                "%d usage records are not billed: the ledger has others under their ids: %s",
                len(conflicts),
                " ".join(conflicts[:_MAX_LOGGED]),
            )
        return len(conflicts)

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

    async def _lock_promises(self, connection: AsyncConnection) -> None:
        """Let nobody else join or deliver until the transaction ends; readers are not held up.

        Threat: locks on the rows that are there would miss a journal that joins for the first time
        in another transaction, and with it what it promises. SQLite has one writer anyway.
        """
        if connection.dialect.name == "postgresql":
            await connection.execute(_LOCK)

    async def _add(
        self, connection: AsyncConnection, journal_id: str, segments: Segments
    ) -> list[str]:
        """Insert what is new and return what is there with other content, as JSON."""
        parameters = {"records": segments.records}
        inserted = await connection.execute(self._insert, parameters | {"journal_id": journal_id})
        if inserted.rowcount == segments.record_count:
            return []
        return list(await connection.scalars(self._conflicts, parameters))


@contextmanager
def translated() -> Iterator[None]:
    """Turn the errors of the database into `LedgerUnavailable`."""
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        cause = error.__cause__ if isinstance(error, SQLAlchemyError) else error
        raise LedgerUnavailable(" ".join(str(cause or error).split())) from error


def _values(journal_id: str, state: JournalState) -> dict[str, object]:
    return {
        "journal_id": journal_id,
        "position": state.position,
        "complete_through_us": state.complete_through_us,
        "is_closed": False,
    }


def _insert(dialect: str) -> TextClause:
    """Return the statement that takes a JSON array of records apart and inserts what is new."""
    values = {
        field: _member(dialect, place, field) for place, field in enumerate(UsageRecord._fields)
    }
    values["period"] = _period(dialect, values["occurred_at_us"])
    values["journal_id"] = ":journal_id"
    columns = [column.name for column in usage_records.columns]
    return text(
        f"INSERT INTO usage_records ({', '.join(columns)})"  # noqa: S608 - names of our own # nosec B608
        f" SELECT {', '.join(values[column] for column in columns)} FROM {_SOURCES[dialect]}"
        " WHERE true"  # or SQLite takes ON for a join
        " ON CONFLICT DO NOTHING"
    ).execution_options(preserve_rowcount=True)


def _conflicts(dialect: str) -> TextClause:
    """Return the statement that finds the records which the ledger has with other content."""
    members = {
        field: _member(dialect, place, field) for place, field in enumerate(UsageRecord._fields)
    }
    request_id = members.pop("request_id")
    differences = (f"usage_records.{field} <> {member}" for field, member in members.items())
    return text(
        f"SELECT CAST(value AS text) FROM {_SOURCES[dialect]}"  # noqa: S608 - names of our own # nosec B608
        f" JOIN usage_records ON usage_records.request_id = {request_id}"
        f" WHERE {' OR '.join(differences)}"
    )


def _member(dialect: str, place: int, field: str) -> str:
    """Return SQL for one member of a record; SQLite's ``->>`` keeps the type, PostgreSQL's not."""
    member = f"value ->> {place}"
    if dialect == "sqlite":
        return member
    if field == "is_test":
        return f"CAST({member} AS boolean)"
    return f"CAST({member} AS bigint)" if field in _NUMBERS + _SIZES else member


def _period(dialect: str, occurred_at_us: str) -> str:
    if dialect == "sqlite":
        return f"CAST(strftime('%Y%m', ({occurred_at_us}) / 1000000, 'unixepoch') AS INTEGER)"
    moment = f"to_timestamp(({occurred_at_us}) / 1000000) AT TIME ZONE 'UTC'"
    return f"CAST(to_char({moment}, 'YYYYMM') AS integer)"
