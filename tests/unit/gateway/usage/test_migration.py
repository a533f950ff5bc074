"""The migration makes the tables that the ledger expects."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Connection, inspect
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.database import create_engine, migrate
from gateway.usage.period_tables import usage_periods
from gateway.usage.tables import metadata


def described(connection: Connection) -> dict[str, object]:
    """Describe the ledger's tables as the database sees them."""
    inspector = inspect(connection)
    return {
        name: (
            [
                (column["name"], repr(column["type"]), column["nullable"])
                for column in inspector.get_columns(name)
            ],
            inspector.get_pk_constraint(name)["constrained_columns"],
            sorted(
                (str(index["name"]), index["column_names"]) for index in inspector.get_indexes(name)
            ),
        )
        for name in metadata.tables
    }


@pytest.fixture
async def engine(empty_url: str) -> AsyncIterator[AsyncEngine]:
    """Open an empty database of either kind."""
    assert usage_periods.metadata is metadata
    engine = create_engine(empty_url)
    yield engine
    await engine.dispose()


async def test_migration_makes_the_tables_of_the_code(engine: AsyncEngine) -> None:
    """The step names its columns itself, so a test compares."""
    await migrate(engine)
    async with engine.begin() as connection:
        migrated = await connection.run_sync(described)
        await connection.run_sync(metadata.drop_all)
        await connection.run_sync(metadata.create_all)
        assert await connection.run_sync(described) == migrated
