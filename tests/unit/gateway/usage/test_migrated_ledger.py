"""A ledger of an earlier version becomes one of this version, and back, with all that it holds."""

from collections.abc import AsyncIterator

import pytest
from alembic import command
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.database import _config, create_engine, migrate
from gateway.usage.periods import HOUR_US
from gateway.usage.reports import UsageQuery, month_units, usage_report
from tests.unit.gateway.usage.test_reports import DECEMBER_US, FEBRUARY_US, JANUARY_US

BEFORE = "0011"
COLUMNS = (
    "request_id, occurred_at_us, period, tenant_id, key_id, model, version, protocol, rows, units,"
    " is_test, queue_us, compute_us, bytes_in, bytes_out, journal_id"
)
RECORDS = [
    f"('b', {JANUARY_US}, 202701, 't', 'k', 'm', '1', 'v1', 2, 20, false, 1, 2, 3, 4, 'j')",
    f"('a', {JANUARY_US}, 202701, 't', 'k', 'm', '1', 'v1', 3, 30, false, 1, 2, 3, 4, 'j')",
    f"('c', {JANUARY_US - 1}, 202612, 't', 'k', 'n', '2', 'v1', 1, 10, false, 1, 2, 3, 4, 'j')",
    f"('d', {JANUARY_US + HOUR_US}, 202701, 'u', 'k', 'm', '1', 'v1', 1, 0, true, 1, 2, 3, 4, 'j')",
]


def move_to(connection: Connection, revision: str) -> None:
    """Bring the schema to a step, up or down."""
    config = _config()
    config.attributes["connection"] = connection
    is_back = connection.dialect.has_table(connection, "usage_book")
    (command.downgrade if is_back else command.upgrade)(config, revision)


async def all_of(engine: AsyncEngine, columns: str, order: str) -> list[tuple[object, ...]]:
    """Read columns of the records."""
    async with engine.connect() as connection:
        found = await connection.execute(
            text(f"SELECT {columns} FROM usage_records ORDER BY {order}")  # noqa: S608 - our own names
        )
        return [tuple(row) for row in found]


@pytest.fixture
async def engine(empty_url: str) -> AsyncIterator[AsyncEngine]:
    """Open a database as version 0011 left it, with some records."""
    engine = create_engine(empty_url)
    async with engine.begin() as connection:
        await connection.run_sync(move_to, BEFORE)
        await connection.execute(
            text(f"INSERT INTO usage_records ({COLUMNS}) VALUES {', '.join(RECORDS)}")  # noqa: S608 - our own values
        )
    yield engine
    await engine.dispose()


async def test_records_are_numbered_by_time_and_count_when_they_occurred(
    engine: AsyncEngine,
) -> None:
    """Those of one moment by their ids, so that every copy is numbered alike."""
    await migrate(engine)
    found = await all_of(engine, "sequence, request_id, counted_at_us - occurred_at_us", "sequence")
    assert found == [(1, "c", 0), (2, "a", 0), (3, "b", 0), (4, "d", 0)]
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT last_sequence FROM usage_book")) == len(RECORDS)


async def test_reports_and_quotas_go_on_where_they_stood(engine: AsyncEngine) -> None:
    """The totals are there from the first moment."""
    await migrate(engine)
    query = UsageQuery(DECEMBER_US, FEBRUARY_US, "month", ("model",))
    rows = (await usage_report(engine, query)).rows
    assert [(row.keys, row.requests, row.units) for row in rows] == [
        (("n",), 1, 10),
        (("m",), 2, 50),
    ]
    hours = await usage_report(engine, UsageQuery(DECEMBER_US, FEBRUARY_US, "hour", is_test=True))
    assert [row.start_us for row in hours.rows] == [JANUARY_US + HOUR_US]
    assert await month_units(engine, 202701) == {"t": 50}


async def test_what_was_pruned_before_is_known(engine: AsyncEngine) -> None:
    """What comes again of the last month that was, in December here, is not counted again."""
    pruned = (
        "INSERT INTO usage_periods (period, state, closing_at_us, after_sequence, previous_root,"  # noqa: S608 - our own values
        f" pruned_at_us) VALUES ({{}}, 'closed', 0, 0, '', {JANUARY_US})"
    )
    async with engine.begin() as connection:
        await connection.run_sync(move_to, "0015")
        for period in (202611, 202612):
            await connection.execute(text(pruned.format(period)))
    await migrate(engine)
    async with engine.connect() as connection:
        through_us = await connection.scalar(text("SELECT pruned_through_us FROM usage_book"))
    assert through_us == JANUARY_US


async def test_step_back_leaves_the_records_as_they_were(engine: AsyncEngine) -> None:
    """Every column of every record, under the old key."""
    before = await all_of(engine, COLUMNS, "request_id")
    await migrate(engine)
    async with engine.begin() as connection:
        await connection.run_sync(move_to, BEFORE)
    assert await all_of(engine, COLUMNS, "request_id") == before
