"""Connections to PostgreSQL: set up as they should be, bounded, and silent about values."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.database import create_engine
from gateway.postgres import connect_arguments
from tests.postgres_server import PASSWORD, PostgresServer

SHORT_SECONDS = 0.2


@pytest.fixture
async def engine(migrated_postgres: str) -> AsyncIterator[AsyncEngine]:
    """Open a database with a short patience."""
    engine = create_engine(migrated_postgres, timeout_seconds=SHORT_SECONDS)
    yield engine
    await engine.dispose()


async def ask(engine: AsyncEngine, statement: str) -> object:
    """Run one statement and return its first value."""
    async with engine.begin() as connection:
        return await connection.scalar(text(statement))


async def ask_while_it_hangs(engine: AsyncEngine, server: PostgresServer) -> None:
    """Begin a transaction and go on in it when the server has stopped."""
    async with engine.begin() as connection:
        server.hang()
        await connection.execute(text("SELECT 1"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("application_name", "tollgate"),
        ("statement_timeout", "200ms"),
        ("lock_timeout", "200ms"),
        ("idle_in_transaction_session_timeout", "400ms"),
    ],
)
async def test_connections_are_set_up(engine: AsyncEngine, name: str, value: str) -> None:
    """The server gives up by itself what nobody waits for any more."""
    assert await ask(engine, f"SHOW {name}") == value


def test_dead_peers_are_noticed() -> None:
    """A host that vanished is not waited for longer than one that hangs."""
    arguments = connect_arguments(make_url("postgresql://"), connect_seconds=1, answer_seconds=3)
    assert (arguments["connect_timeout"], arguments["tcp_user_timeout"]) == (2, 3000)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
async def test_every_name_of_postgresql_is_served(migrated_postgres: str, scheme: str) -> None:
    """As libpq, as hosting services and as SQLAlchemy write it."""
    engine = create_engine(scheme + migrated_postgres.removeprefix("postgresql"))
    assert await ask(engine, "SELECT 1") == 1
    await engine.dispose()


async def test_parameters_in_the_url_win(migrated_postgres: str) -> None:
    """An operator's own choice is not overwritten."""
    engine = create_engine(f"{migrated_postgres}?application_name=billing")
    assert await ask(engine, "SHOW application_name") == "billing"
    await engine.dispose()


async def test_no_statement_is_prepared_by_name(engine: AsyncEngine) -> None:
    """PgBouncer may give each transaction another connection of the server's."""
    for _ in range(20):
        await ask(engine, "SELECT revision FROM catalog_revision")
    assert await ask(engine, "SELECT count(*) FROM pg_prepared_statements") == 0


async def test_slow_statement_is_given_up(engine: AsyncEngine) -> None:
    """By the server, so that it does not go on in vain."""
    with pytest.raises(DBAPIError, match="statement timeout"):
        await ask(engine, "SELECT pg_sleep(60)")
    assert await ask(engine, "SELECT 1") == 1


async def test_lock_that_is_held_is_an_error(engine: AsyncEngine) -> None:
    """A writer waits for another one so long and no longer."""
    hold = "SELECT revision FROM catalog_revision FOR UPDATE"
    async with engine.begin() as holder:
        await holder.execute(text(hold))
        with pytest.raises(DBAPIError, match=r"(lock|statement) timeout"):
            await ask(engine, hold)


async def test_waiting_for_a_connection_has_an_end(migrated_postgres: str) -> None:
    """With every connection in use the next one who asks is told so."""
    engine = create_engine(migrated_postgres, pool_size=1, timeout_seconds=SHORT_SECONDS)
    async with engine.connect():
        with pytest.raises(PoolTimeout):
            await ask(engine, "SELECT 1")
    await engine.dispose()


async def test_cancelled_wait_leaves_no_answer_for_the_next(migrated_postgres: str) -> None:
    """The connection is closed, and the caller does not wait for the server to cancel."""
    engine = create_engine(migrated_postgres, pool_size=1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SHORT_SECONDS):
            await ask(engine, "SELECT pg_sleep(60)")
    assert await ask(engine, "SELECT 2") == 2
    await engine.dispose()


async def test_server_that_hangs_is_given_up(own_postgres: PostgresServer) -> None:
    """Its connections are dropped, new ones are refused, and all is well when it goes on."""
    engine = create_engine(own_postgres.url_of(), timeout_seconds=SHORT_SECONDS)
    assert await ask(engine, "SELECT 1") == 1
    own_postgres.hang()
    for _ in range(2):
        with pytest.raises(SQLAlchemyError):
            await ask(engine, "SELECT 1")
    own_postgres.resume()
    assert await ask(engine, "SELECT 1") == 1
    await engine.dispose()


async def test_answer_that_does_not_come_closes_the_connection(
    own_postgres: PostgresServer,
) -> None:
    """Also in the middle of a transaction."""
    engine = create_engine(own_postgres.url_of(), timeout_seconds=SHORT_SECONDS)
    with pytest.raises(DBAPIError, match="no answer"):
        await ask_while_it_hangs(engine, own_postgres)
    own_postgres.resume()
    assert await ask(engine, "SELECT 1") == 1
    await engine.dispose()


async def test_restart_of_the_server_is_not_noticed(own_postgres: PostgresServer) -> None:
    """Connections of before are replaced before they are used."""
    engine = create_engine(own_postgres.url_of())
    assert await ask(engine, "SELECT 1") == 1
    own_postgres.kill()
    own_postgres.start()
    assert await ask(engine, "SELECT 1") == 1
    await engine.dispose()


async def test_error_quotes_no_value(engine: AsyncEngine) -> None:
    """PostgreSQL quotes the row that it refuses; what we log and raise does not."""
    orphan = text("INSERT INTO api_key_secrets (key_id, digest) VALUES ('nobody', :digest)")
    with pytest.raises(IntegrityError) as refusal:
        async with engine.begin() as connection:
            await connection.execute(orphan, {"digest": b"digest"})
    assert "(nobody)" not in f"{refusal.value} {refusal.value.__cause__!r} {refusal.value.orig}"


async def test_wrong_password_is_not_quoted(migrated_postgres: str) -> None:
    """Neither the wrong one nor the right one."""
    engine = create_engine(migrated_postgres.replace(PASSWORD, "mistaken"))
    with pytest.raises(SQLAlchemyError) as refusal:
        await ask(engine, "SELECT 1")
    assert "mistaken" not in f"{refusal.value!r} {engine!r} {make_url(migrated_postgres)}"
    await engine.dispose()
