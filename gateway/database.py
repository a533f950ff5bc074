"""Open the database of the records, bring its schema up to date, and refuse any other schema.

SQLite: write-ahead log, `synchronous=FULL`, foreign keys on. A transaction takes the write lock
when it begins (BEGIN IMMEDIATE), unless its connection has the execution option
`postgresql_readonly`, which PostgreSQL understands too. PostgreSQL: see `gateway.postgres`.
"""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import aiosqlite
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from gateway.errors import StartRefused
from gateway.postgres import DRIVER, connect_arguments, is_postgresql
from gateway.settings import Settings

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
DEFAULT_POOL_SIZE: Final = 5
DEFAULT_TIMEOUT_SECONDS: Final = 5.0
_MIGRATION_LOCK: Final = 8_655_443_683  # "tollgate" on a telephone; one lock of PostgreSQL's 2^64
_BUSY_TIMEOUT_MILLISECONDS: Final = 15_000
"""SQLite has no queue: with several workers on a slow disk one of them may find the lock taken each
time it looks, ten times a second."""

_SECONDS_BEFORE_ANOTHER_TRY: Final = 0.01
_IS_READ_ONLY: Final = "tollgate_is_read_only"
_PRIMARY_CODE: Final = 0xFF
"""The bits of an error of SQLite that are the same for all kinds of one error."""


class SchemaMismatch(StartRefused):
    """The database has another schema than this program was written for."""

    def __init__(self, found: str | None, expected: str) -> None:
        advice = (
            "run `tollgate migrate`"
            if found is None or found in _known_revisions()
            else "it was made by a newer Tollgate: run that one"
        )
        state = (
            "the database is empty"
            if found is None
            else f"the database schema is at {found}, expected is {expected}"
        )
        super().__init__(f"{state}: {advice}")
        self.found = found
        self.expected = expected


def create_engine(
    url: str,
    *,
    pool_size: int = DEFAULT_POOL_SIZE,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    answer_seconds: float | None = None,
) -> AsyncEngine:
    """Return an engine for the URL: SQLite by aiosqlite, PostgreSQL by psycopg.

    Threat: parameters in the text of a database error, or in the driver's own log of every
    statement, would carry digests and what callers sent into logs, so they are hidden.

    Args:
        url: as the setting names it; `sqlite://`, `postgresql://` and `postgres://` get our driver.
        pool_size: connections to PostgreSQL at the same time, at most.
        timeout_seconds: how long to wait for a free connection to PostgreSQL and for a new one.
        answer_seconds: how long to wait for a lock of PostgreSQL and for the answer to a statement,
            by default the same.

    Raises:
        StartRefused: it names another database or driver.
    """
    logging.getLogger("aiosqlite").setLevel(logging.WARNING)
    parsed = make_url(url)
    if parsed.drivername in ("sqlite", "sqlite+aiosqlite"):
        return _create_sqlite(parsed.set(drivername="sqlite+aiosqlite"))
    if not is_postgresql(parsed):
        raise StartRefused(
            f"TOLLGATE_DATABASE_URL: there is no driver for {parsed.drivername}: this version "
            "keeps its records in SQLite (sqlite:///PATH) or PostgreSQL "
            "(postgresql://USER:PASSWORD@HOST/DATABASE)"
        )
    return create_async_engine(
        parsed.set(drivername=DRIVER),
        hide_parameters=True,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=timeout_seconds,
        pool_pre_ping=True,
        connect_args=connect_arguments(
            parsed,
            connect_seconds=timeout_seconds,
            answer_seconds=timeout_seconds if answer_seconds is None else answer_seconds,
        ),
    )


def open_engine(
    settings: Settings, *, pool_size: int | None = None, answer_seconds: float | None = None
) -> AsyncEngine:
    """Return the engine that the settings describe.

    Raises:
        StartRefused: they name a database or a driver that is not known.
    """
    return create_engine(
        settings.resolved_database_url,
        pool_size=settings.database_pool_size if pool_size is None else pool_size,
        timeout_seconds=settings.database_timeout_seconds,
        answer_seconds=answer_seconds,
    )


@asynccontextmanager
async def opened_database(
    settings: Settings, *, answer_seconds: float | None = None
) -> AsyncIterator[AsyncEngine]:
    """Open the database of the settings for a command, and close it after.

    Raises:
        SchemaMismatch: it is older or newer than this program, or was never made.
        StartRefused: the settings name a database or a driver that is not known.
    """
    engine = open_engine(settings, answer_seconds=answer_seconds)
    try:
        await check_schema(engine)
        yield engine
    finally:
        await engine.dispose()


async def close_engine(engine: AsyncEngine, *, patience_seconds: float) -> None:
    """Close an engine as soon as all its connections came back, or when the patience is over.

    What nobody's leaving may cut, such as a read that others wait for too, goes on beside its
    caller and may outlive it.

    Threat: a connection that comes back to a closed engine is closed by nobody, and one of SQLite
    keeps its lock.
    """
    pool = engine.pool
    came_back = asyncio.Event()
    event.listen(pool, "checkin", lambda *_: came_back.set())
    with suppress(TimeoutError):
        async with asyncio.timeout(patience_seconds):
            while isinstance(pool, QueuePool) and pool.checkedout():
                came_back.clear()
                await came_back.wait()
    await engine.dispose()


def _create_sqlite(url: URL) -> AsyncEngine:
    engine = create_async_engine(url, hide_parameters=True)
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "checkin", _forget_read_only)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    event.listen(engine.sync_engine, "invalidate", _release_sqlite)
    return engine


async def migrate(engine: AsyncEngine) -> None:
    """Bring the schema to the newest step, all of it or nothing.

    A second process that migrates at the same time waits and then finds nothing to do.
    """
    async with engine.begin() as connection:
        await connection.run_sync(_upgrade)


async def check_schema(engine: AsyncEngine) -> None:
    """Pass if the schema is the one of this program.

    Raises:
        SchemaMismatch: it is behind, ahead or not there.
    """
    async with engine.execution_options(postgresql_readonly=True).connect() as connection:
        found = await connection.run_sync(_current_revision)
    expected = _newest_revision()
    if found != expected:
        raise SchemaMismatch(found, expected)


def _prepare_sqlite(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
    """Set a new connection up; the driver leaves BEGIN to us from here on."""
    connection.isolation_level = None
    connection.run_async(_set_up)
    entry.info[_IS_READ_ONLY] = connection.run_async(_is_read_only)


def _forget_read_only(_connection: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
    """Have the next caller open a connection of its own instead of one that can only read.

    Threat: SQLite opens a file that it may not write for reading, without an error. A connection
    from a time when the disk was read-only would refuse every write for ever, long after the disk
    has healed.
    """
    if entry.info.get(_IS_READ_ONLY):
        entry.invalidate(soft=True)


async def _set_up(connection: aiosqlite.Connection) -> None:
    await _wait_for_locks(connection, _BUSY_TIMEOUT_MILLISECONDS)  # first: the others may wait
    await _keep_write_ahead_log(connection)
    await connection.execute_fetchall("PRAGMA synchronous = FULL")
    await connection.execute_fetchall("PRAGMA foreign_keys = ON")


async def _is_read_only(connection: aiosqlite.Connection) -> bool:
    """Say whether SQLite has opened the file for reading alone; nobody is waited for.

    The driver does not pass `sqlite3_db_readonly` on, and BEGIN IMMEDIATE gives such a file a
    transaction that reads, so something is written and taken back, before it comes to the disk.
    """
    await _wait_for_locks(connection, 0)
    try:
        await connection.execute_fetchall("BEGIN IMMEDIATE")
        await connection.execute_fetchall("PRAGMA user_version = 1")
    except sqlite3.OperationalError as error:
        return error.sqlite_errorcode & _PRIMARY_CODE == sqlite3.SQLITE_READONLY
    else:
        return False
    finally:
        await connection.rollback()
        await _wait_for_locks(connection, _BUSY_TIMEOUT_MILLISECONDS)


async def _wait_for_locks(connection: aiosqlite.Connection, milliseconds: int) -> None:
    await connection.execute_fetchall(f"PRAGMA busy_timeout = {milliseconds}")


async def _keep_write_ahead_log(connection: aiosqlite.Connection) -> None:
    """Make the file one with a write-ahead log, if it is not yet.

    Threat: of two that open a new file at once, SQLite refuses one without a wait, busy timeout or
    not, since both have read what both would change.
    """
    clock = asyncio.get_running_loop().time
    given_up_at = clock() + _BUSY_TIMEOUT_MILLISECONDS / 1000
    while True:
        try:
            await connection.execute_fetchall("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or clock() > given_up_at:
                raise
            await asyncio.sleep(_SECONDS_BEFORE_ANOTHER_TRY)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    """Begin a transaction, a writing one with the lock that it will need.

    Threat: a deferred transaction that reads and then writes fails at once, busy timeout or not,
    when another writer came in between.
    """
    is_read_only = connection.get_execution_options().get("postgresql_readonly", False)
    connection.exec_driver_sql("BEGIN" if is_read_only else "BEGIN IMMEDIATE")


def _release_sqlite(
    connection: DBAPIConnection, _entry: ConnectionPoolEntry, _error: BaseException | None
) -> None:
    """Roll back what a connection is left in that is about to be thrown away.

    Threat: one whose caller was cancelled within a query is closed with that query open, which
    SQLite puts off, with the lock that it holds, until the garbage collector finds the query.
    """
    with suppress(asyncio.CancelledError, sqlite3.Error, ValueError):
        connection.run_async(aiosqlite.Connection.rollback)


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _current_revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _newest_revision() -> str:
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    if newest is None:
        raise RuntimeError("the package was built without its migrations")
    return newest


def _known_revisions() -> set[str]:
    script = ScriptDirectory.from_config(_config())
    return {step.revision for step in script.walk_revisions()}


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config
