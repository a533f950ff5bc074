"""The database of the records: how it is opened, migrated and judged."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, MetaData, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from auth.tables import metadata as catalogue_tables
from gateway import database
from gateway.database import SchemaMismatch, check_schema, close_engine, create_engine, migrate
from gateway.models.routing_tables import metadata as routing_tables
from gateway.models.tables import metadata as model_tables

_LONG_QUERY = """
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 3000000)
SELECT count(*) FROM numbers UNION ALL SELECT 1"""


@pytest.fixture
async def engine(empty_url: str) -> AsyncIterator[AsyncEngine]:
    """Open an empty database of either kind."""
    engine = create_engine(empty_url)
    yield engine
    await engine.dispose()


def _differences(connection: Connection, metadata: MetaData) -> list[object]:
    def is_ours(name: str | None, kind: str, _parents: object) -> bool:
        return kind != "table" or name in metadata.tables

    context = MigrationContext.configure(
        connection, opts={"include_name": is_ours, "compare_server_default": True}
    )
    return list(compare_metadata(context, metadata))


@pytest.mark.parametrize(
    "metadata",
    [catalogue_tables, model_tables, routing_tables],
    ids=["auth", "models", "routing"],
)
async def test_migrations_make_the_tables_that_are_declared(
    engine: AsyncEngine, metadata: MetaData
) -> None:
    """An empty file after the upgrade has no difference to the metadata."""
    await migrate(engine)
    async with engine.connect() as connection:
        assert await connection.run_sync(_differences, metadata) == []


async def test_migrated_schema_is_accepted(engine: AsyncEngine) -> None:
    """What migrate makes, check_schema takes."""
    await migrate(engine)
    await check_schema(engine)


async def test_migrating_again_changes_nothing(engine: AsyncEngine) -> None:
    """A second start reuses the data."""
    await migrate(engine)
    await migrate(engine)
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM tenants")) == 1


async def test_two_processes_may_migrate_at_once(engine: AsyncEngine, empty_url: str) -> None:
    """The second one waits and finds nothing to do."""
    other = create_engine(empty_url)
    await asyncio.gather(migrate(engine), migrate(other))
    await check_schema(other)
    await other.dispose()


async def test_empty_database_is_refused_with_the_command_to_run(engine: AsyncEngine) -> None:
    """A database behind the program says how to bring it up to date."""
    with pytest.raises(SchemaMismatch, match="tollgate migrate") as refusal:
        await check_schema(engine)
    assert refusal.value.found is None


async def test_newer_database_is_refused(engine: AsyncEngine) -> None:
    """An old program does not touch a newer schema."""
    await migrate(engine)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = 'future'"))
    with pytest.raises(SchemaMismatch, match="newer") as refusal:
        await check_schema(engine)
    assert refusal.value.found == "future"


async def test_failed_migration_leaves_nothing_behind(engine: AsyncEngine) -> None:
    """An upgrade is all or nothing."""
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE api_keys (id INTEGER)"))
    with pytest.raises(DBAPIError):
        await migrate(engine)
    async with engine.connect() as connection:
        assert await connection.run_sync(lambda c: inspect(c).get_table_names()) == ["api_keys"]


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 15_000)],
)
@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
async def test_sqlite_connections_are_set_up(
    engine: AsyncEngine, pragma: str, value: str | int
) -> None:
    """Every connection is durable and checks references."""
    async with engine.connect() as connection:
        assert await connection.scalar(text(f"PRAGMA {pragma}")) == value


@pytest.fixture
def other_opener(empty_url: str) -> Iterator[sqlite3.Connection]:
    """Hold a new file that has no write-ahead log yet, and is about to be written."""
    path = make_url(empty_url).database
    assert path is not None
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
async def test_new_file_that_another_opens_too_is_waited_for(
    engine: AsyncEngine, other_opener: sqlite3.Connection
) -> None:
    """SQLite itself does not wait here, whatever its timeout."""
    opening = asyncio.create_task(check_schema(engine))
    await asyncio.sleep(0.1)
    assert not opening.done()
    other_opener.execute("ROLLBACK")
    with pytest.raises(SchemaMismatch):
        await opening


@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
@pytest.mark.usefixtures("other_opener")
async def test_new_file_that_stays_locked_is_given_up(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start that cannot be does not wait for ever."""
    monkeypatch.setattr(database, "_BUSY_TIMEOUT_MILLISECONDS", 50)
    with pytest.raises(OperationalError, match="locked"):
        await check_schema(engine)


async def test_foreign_keys_hold(engine: AsyncEngine) -> None:
    """A key without a tenant cannot be stored, and the error shows no value."""
    await migrate(engine)
    orphan = text("INSERT INTO api_key_secrets (key_id, digest) VALUES (:key_id, :digest)")
    with pytest.raises(IntegrityError) as refusal:
        async with engine.begin() as connection:
            await connection.execute(orphan, {"key_id": "nobody", "digest": b"digest"})
    assert "nobody" not in str(refusal.value)


@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
async def test_writers_that_read_first_do_not_fail(engine: AsyncEngine) -> None:
    """SQLite's read-then-write transactions wait for each other; no update is lost."""
    await migrate(engine)

    async def count_up() -> None:
        async with engine.begin() as connection:
            found = await connection.scalar(text("SELECT revision FROM catalog_revision"))
            assert found is not None
            await connection.execute(
                text("UPDATE catalog_revision SET revision = :next"), {"next": found + 1}
            )

    await asyncio.gather(*(count_up() for _ in range(20)))
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT revision FROM catalog_revision")) == 21


@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
async def test_cancelled_transaction_holds_no_lock(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever keeps the cancelled task, and with it the open query, keeps nothing locked."""
    monkeypatch.setattr(database, "_BUSY_TIMEOUT_MILLISECONDS", 2000)
    await migrate(engine)
    has_written = asyncio.Event()

    async def read_for_long() -> None:
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE catalog_revision SET revision = 7"))
            has_written.set()
            await connection.execute(text(_LONG_QUERY))

    leaver = asyncio.create_task(read_for_long())
    await has_written.wait()
    await asyncio.sleep(0.05)
    leaver.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaver
    async with engine.begin() as connection:
        found = await connection.scalar(text("SELECT revision FROM catalog_revision"))
    assert (found, leaver.cancelled()) == (1, True)


async def test_reader_is_not_held_up_by_a_writer(engine: AsyncEngine) -> None:
    """A read-only connection does not ask for the write lock."""
    await migrate(engine)
    reading = engine.execution_options(postgresql_readonly=True)
    async with engine.begin(), reading.connect() as reader:
        assert await reader.scalar(text("SELECT revision FROM catalog_revision")) == 1


async def test_closing_waits_for_connections_in_use(empty_url: str) -> None:
    """A connection that came back afterwards would be closed by nobody."""
    engine = create_engine(empty_url)
    reading, going_on = asyncio.Event(), asyncio.Event()

    async def read() -> int:
        async with engine.connect() as connection:
            reading.set()
            await going_on.wait()
            return int((await connection.execute(text("SELECT 1"))).scalar_one())

    reader = asyncio.create_task(read())
    await reading.wait()
    closing = asyncio.create_task(close_engine(engine, patience_seconds=60))
    await asyncio.sleep(0.02)
    assert not closing.done()
    going_on.set()
    await closing
    assert await reader == 1


async def test_closing_ends_with_its_patience(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What never comes back holds nobody up for good."""
    engine = create_engine(empty_url)
    monkeypatch.setattr(engine.pool, "checkedout", lambda: 1)
    await close_engine(engine, patience_seconds=0.02)
