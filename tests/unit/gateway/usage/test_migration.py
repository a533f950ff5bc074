"""The migration makes the tables that the ledger expects."""

from pathlib import Path

from sqlalchemy import Connection, inspect

from gateway.database import create_engine, migrate
from gateway.usage.tables import metadata


def described(connection: Connection) -> dict[str, object]:
    """Describe the ledger's tables as the database sees them."""
    inspector = inspect(connection)
    return {
        name: (
            [
                (column["name"], str(column["type"]), column["nullable"])
                for column in inspector.get_columns(name)
            ],
            inspector.get_pk_constraint(name)["constrained_columns"],
            sorted(
                (str(index["name"]), index["column_names"]) for index in inspector.get_indexes(name)
            ),
        )
        for name in metadata.tables
    }


async def test_migration_makes_the_tables_of_the_code(tmp_path: Path) -> None:
    """The step names its columns itself, so a test compares."""
    seen = []
    for name in ("migrated", "created"):
        engine = create_engine(f"sqlite:///{tmp_path / name}.db")
        if name == "migrated":
            await migrate(engine)
        async with engine.begin() as connection:
            if name == "created":
                await connection.run_sync(metadata.create_all)
            seen.append(await connection.run_sync(described))
        await engine.dispose()
    assert seen[0] == seen[1]
