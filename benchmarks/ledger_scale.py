"""Measure reading and shipping on a ledger with many records: `python -m benchmarks.ledger_scale`.

A PostgreSQL of its own is filled with records of six months, asked as the API asks it, and then
takes lots as a worker delivers them. Everything is removed at the end.
"""

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.ledger_fill import FIRST_PERIOD, LAST_PERIOD, TENANTS, fill
from gateway.database import create_engine, migrate
from gateway.usage.ledger import Ledger
from gateway.usage.periods import DAY_US, HOUR_US, period_bounds_us, period_start_us
from gateway.usage.record import UsageRecord
from gateway.usage.reports import UsageQuery, usage_report
from gateway.usage.segment_file import Segments
from tests.postgres_server import PostgresServer, running_postgres

_OPTIONS: Final = (
    "fsync=on",
    "max_parallel_maintenance_workers=1",
    "full_page_writes=on",
    "wal_level=minimal",
    "max_wal_senders=0",
    "shared_buffers=2GB",
    "effective_cache_size=8GB",
    "maintenance_work_mem=1GB",
    "max_wal_size=8GB",
)
_ANSWER_SECONDS: Final = 7200.0
_LOT: Final = 5000
_START_US: Final = period_start_us(FIRST_PERIOD)
_END_US: Final = period_start_us(LAST_PERIOD)
_BUSY_TENANT: Final = f"ten_{0:022d}"
_QUIET_TENANT: Final = f"ten_{TENANTS - 1:022d}"
_JUNE: Final = period_bounds_us(202606)
QUERIES: Final = {
    "month, tenant, model: all": UsageQuery(_START_US, _END_US, "month", ("tenant", "model")),
    "month, tenant, model, key: all": UsageQuery(
        _START_US, _END_US, "month", ("tenant", "model", "key")
    ),
    "month, tenant, model: cut at both ends": UsageQuery(
        _START_US + 7 * DAY_US + 1234, _END_US - HOUR_US // 2 - 7, "month", ("tenant", "model")
    ),
    "day, one busy tenant: all": UsageQuery(_START_US, _END_US, "day", (), _BUSY_TENANT),
    "day, model, one quiet tenant: all": UsageQuery(
        _START_US, _END_US, "day", ("model",), _QUIET_TENANT
    ),
    "day, everybody: a month": UsageQuery(*_JUNE, "day"),
    "hour, one busy tenant: a month": UsageQuery(*_JUNE, "hour", ("model",), _BUSY_TENANT),
}
_PAGE: Final = "SELECT * FROM usage_records WHERE sequence > :after ORDER BY sequence LIMIT 1000"
_OWN_PAGE: Final = (
    "SELECT * FROM usage_records WHERE tenant_id = :tenant_id AND sequence > :after"
    " ORDER BY sequence LIMIT 1000"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill, measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ledger_scale", description=__doc__)
    parser.add_argument("--records", type=int, default=50_000_000)
    parser.add_argument("--repeats", type=int, default=20, help="warm runs of each query")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long lots are delivered")
    parser.add_argument("--output", type=Path, default=Path("var/ledger_scale.json"))
    options = parser.parse_args(arguments)
    with running_postgres(*_OPTIONS) as server:
        result = asyncio.run(_measure(server, options))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=2))
    return 0


async def _measure(server: PostgresServer, options: argparse.Namespace) -> dict[str, Any]:
    url = server.create_database()
    engine = create_engine(url, answer_seconds=_ANSWER_SECONDS)
    await migrate(engine)
    await fill(engine, options.records, _tell)
    await engine.dispose()
    server.stop()
    server.start()
    has_dropped = _drop_caches()
    engine = create_engine(url, answer_seconds=_ANSWER_SECONDS)
    cold = {name: await _timed(engine, query) for name, query in QUERIES.items()}
    _tell(f"cold (system cache dropped: {has_dropped}): {_shown(cold)}")
    warm = {
        name: [await _timed(engine, query) for _ in range(options.repeats)]
        for name, query in QUERIES.items()
    }
    for name, times in warm.items():
        _tell(f"{name}: median {statistics.median(times):.1f} ms, max {max(times):.1f} ms")
    pages = await _pages(engine, options)
    sizes, plan = await _sizes(engine), await _plan(engine)
    shipping = await _ship(engine, options)
    await engine.dispose()
    return {
        "records": options.records,
        "cold_ms": cold,
        "warm_ms": warm,
        "pages_ms": pages,
        "sizes": sizes,
        "shipping": shipping,
        "plan": plan,
    }


async def _timed(engine: AsyncEngine, query: UsageQuery) -> float:
    began = time.perf_counter()
    await usage_report(engine, query)
    return (time.perf_counter() - began) * 1000


async def _pages(engine: AsyncEngine, options: argparse.Namespace) -> dict[str, list[float]]:
    """Read a thousand records anywhere, of all tenants, of a busy one and of a quiet one."""
    draw = random.Random(1)  # noqa: S311 - places, not secrets

    async def page(statement: str, tenant_id: str | None) -> float:
        parameters: dict[str, object] = {"after": draw.randrange(options.records)}
        if tenant_id is not None:
            parameters["tenant_id"] = tenant_id
        began = time.perf_counter()
        async with engine.connect() as connection:
            (await connection.execute(text(statement), parameters)).all()
        return (time.perf_counter() - began) * 1000

    kinds = {
        "all": (_PAGE, None),
        "busy": (_OWN_PAGE, _BUSY_TENANT),
        "quiet": (_OWN_PAGE, _QUIET_TENANT),
    }
    found = {
        name: [await page(*kind) for _ in range(options.repeats)] for name, kind in kinds.items()
    }
    for name, times in found.items():
        _tell(f"page {name}: median {statistics.median(times):.1f} ms, max {max(times):.1f} ms")
    return found


async def _sizes(engine: AsyncEngine) -> dict[str, int]:
    statement = (
        "SELECT relname, pg_relation_size(oid), reltuples::bigint FROM pg_class"
        " WHERE relname LIKE '%usage\\_%' AND relkind IN ('r', 'i') ORDER BY 2 DESC"
    )
    async with engine.connect() as connection:
        found = (await connection.execute(text(statement))).all()
    for name, size, rows in found:
        _tell(f"{name}: {size / 2**20:.0f} MiB, {rows:,} rows")
    return {name: size for name, size, _ in found}


async def _plan(engine: AsyncEngine) -> list[str]:
    """Explain the plainest of the queries, as the database was asked."""
    statement = (
        "EXPLAIN (ANALYZE, BUFFERS) SELECT period, tenant_id, model, sum(requests), sum(rows),"
        " sum(units) FROM usage_months WHERE NOT is_test GROUP BY 1, 2, 3"
    )
    async with engine.connect() as connection:
        return [str(row[0]) for row in await connection.execute(text(statement))]


async def _ship(engine: AsyncEngine, options: argparse.Namespace) -> dict[str, float]:
    """Deliver lots as a worker does, one after the other, and count records per second."""
    ledger, lots = Ledger(engine), 0
    draw = random.Random(2)  # noqa: S311 - tenants, not secrets
    taking = 0.0
    while taking < options.seconds:
        lot = _lot(draw, lots)
        began = time.perf_counter()
        await ledger.take("bench", lot, position=lots + 1, complete_through_us=_END_US)
        taking += time.perf_counter() - began
        lots += 1
    rate = lots * _LOT / taking
    _tell(f"shipping: {rate:,.0f} records/s in lots of {_LOT}")
    return {"records_per_second": rate, "lots": lots, "lot": _LOT}


def _lot(draw: random.Random, number: int) -> Segments:
    """Make what a worker writes in half a second at its peak, from the same tenants and models."""
    start_us = _END_US + number * 500_000
    records = []
    for place in range(_LOT):
        tenant, moment_us = int(TENANTS * draw.random() ** 2.5), start_us + place * 100
        model = (tenant * 7 + int(3 * draw.random() ** 2)) % 12
        records.append(
            UsageRecord(
                request_id=f"{moment_us // 1000:012x}beefbeefbeef{number * _LOT + place:08x}",
                occurred_at_us=moment_us,
                tenant_id=f"ten_{tenant:022d}",
                key_id=f"key{tenant * 4 + int(4 * draw.random() ** 3):018d}",
                model=f"model-{model}",
                version="1",
                protocol="v1",
                rows=1,
                units=1 + model % 5,
                is_test=False,
                queue_us=300,
                compute_us=41,
                bytes_in=100,
                bytes_out=49,
            )
        )
    return Segments(number + 1, 20, orjson.dumps([tuple(one) for one in records]).decode(), _LOT)


def _drop_caches() -> bool:
    """Let the system forget what it read, where we may."""
    subprocess.run(["sync"], check=True)
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError:
        return False
    return True


def _shown(times: dict[str, float]) -> str:
    return ", ".join(f"{name} {taken:.0f} ms" for name, taken in times.items())


def _tell(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
