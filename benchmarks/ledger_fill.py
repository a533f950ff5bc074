"""Fill a PostgreSQL ledger with many records of several months, made by the database itself.

Tenants, keys and models are drawn unevenly, as customers are: the first tenant has about a tenth of
all records and the last ones hardly any. Totals are made by the product's own statements.
"""

import time
from collections.abc import Callable
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.usage.book import Page, return_numbers
from gateway.usage.ledger import Ledger
from gateway.usage.periods import HOUR_US, period_start_us
from gateway.usage.totals import add_totals

FIRST_PERIOD: Final = 202601
LAST_PERIOD: Final = 202607
"""The first one that has no records."""

TENANTS: Final = 300
_LOT: Final = 2_500_000
_CREATE: Final = "CREATE INDEX ix_usage_records_{} ON usage_records ({})"
_INDEXES: Final = (
    "ALTER TABLE usage_records ADD CONSTRAINT pk_usage_records PRIMARY KEY (sequence)",
    "CREATE UNIQUE INDEX ix_usage_records_request_id ON usage_records (request_id)",
    _CREATE.format("tenant_id_counted_at_us", "tenant_id, counted_at_us"),
    _CREATE.format("tenant_id_sequence", "tenant_id, sequence"),
    "CREATE INDEX ix_usage_records_counted_at_us ON usage_records USING brin (counted_at_us)",
)
_TRIGGERS: Final = "ALTER TABLE usage_records {} TRIGGER USER"
"""What refuses to empty the table, and the fill does it when it is empty."""

_DROPS: Final = (
    "ALTER TABLE usage_records DROP CONSTRAINT pk_usage_records",
    "DROP INDEX ix_usage_records_request_id",
    "DROP INDEX ix_usage_records_tenant_id_counted_at_us",
    "DROP INDEX ix_usage_records_tenant_id_sequence",
    "DROP INDEX ix_usage_records_counted_at_us",
)
_FILL: Final = """
INSERT INTO usage_records (sequence, counted_at_us, occurred_at_us, rows, units, queue_us,
    compute_us, bytes_in, bytes_out, period, is_test, request_id, tenant_id, key_id, model, version,
    protocol, outcome, corrects, journal_id)
SELECT number, moment_us, moment_us, row_count,
    CASE WHEN is_test THEN 0 ELSE row_count * weight END, (random() * 900)::bigint,
    40 + row_count * weight, 60 + 40 * row_count, 40 + 9 * row_count,
    to_char(to_timestamp(moment_us / 1000000) AT TIME ZONE 'UTC', 'YYYYMM')::int, is_test,
    lpad(to_hex(moment_us / 1000), 12, '0') || 'a1b2c3d4e5f6' || lpad(to_hex(number), 8, '0'),
    'ten_' || lpad(tenant::text, 22, '0'), 'key' || lpad((tenant * 4 + key)::text, 18, '0'),
    'model-' || model, '1', (ARRAY['v1', 'v1', 'oip', 'grpc'])[1 + number % 4], 'ok', '',
    'c0ffee00c0ffee00c0ffee00c0ffee0' || number % 4
FROM (
    SELECT number, :start_us + number * :step_us AS moment_us, tenant, key, model, row_count,
        1 + model % 5 AS weight, key = 3 AS is_test
    FROM (
        SELECT number, tenant, floor(4 * random() ^ 3)::int AS key,
            (tenant * 7 + floor(3 * random() ^ 2)::int) % 12 AS model,
            1 + floor(20 * random() ^ 6)::bigint AS row_count
        FROM (
            SELECT number, floor(:tenants * random() ^ 2.5)::int AS tenant
            FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS number
        ) AS drawn OFFSET 0
    ) AS chosen
) AS made
"""

Tell = Callable[[str], None]


async def fill(engine: AsyncEngine, records: int, tell: Tell) -> None:
    """Put so many records and their totals into an empty ledger, and say how long each part took.

    The table is emptied in the transaction that fills it, so with `wal_level=minimal` the records
    are written once.
    """
    start_us, end_us = period_start_us(FIRST_PERIOD), period_start_us(LAST_PERIOD)
    began = time.monotonic()
    async with engine.begin() as connection:
        for statement in (_TRIGGERS.format("DISABLE"), "TRUNCATE usage_records", *_DROPS):
            await connection.execute(text(statement))
        step_us = (end_us - start_us - 1) // records
        for first in range(1, records + 1, _LOT):
            last = min(first + _LOT - 1, records)
            parameters = {"first": first, "last": last, "tenants": TENANTS}
            times = {"start_us": start_us, "step_us": step_us}
            await connection.execute(text(_FILL), parameters | times)
            tell(f"{last:,} records after {time.monotonic() - began:.0f} s")
        for statement in (*_INDEXES, _TRIGGERS.format("ENABLE")):
            await connection.execute(text(statement))
            tell(f"{statement.split(' ON ')[0]} after {time.monotonic() - began:.0f} s")
    await _add_totals(engine, records, end_us)
    tell(f"totals after {time.monotonic() - began:.0f} s")
    await _vacuum(engine)
    tell(f"vacuum after {time.monotonic() - began:.0f} s")


async def _add_totals(engine: AsyncEngine, records: int, end_us: int) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("SET LOCAL work_mem = '512MB'"))
        await add_totals(connection, Page(0, 0, 0, 0))
        await return_numbers(connection, last_sequence=records)
    await Ledger(engine).fold(end_us - HOUR_US)


async def _vacuum(engine: AsyncEngine) -> None:
    """Do what autovacuum does in months."""
    autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
    async with autocommit.connect() as connection:
        for table in ("usage_records", "usage_hours", "usage_days", "usage_months", "usage_book"):
            await connection.execute(text(f"VACUUM (ANALYZE) {table}"))
