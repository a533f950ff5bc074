"""The restore drill: a backup under load, everything lost, and the bill is right again."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import select

from gateway.database import create_engine
from gateway.usage.reports import UsageQuery, usage_report
from gateway.usage.tables import usage_records
from tests.load import ClientLog, run_load
from tests.population import populate
from tests.postgres_server import PASSWORD, PostgresServer, program
from tests.redis_server import running_redis
from tests.serving import ROOT, free_port
from tests.stack import Stack

CONNECTIONS = 16
REQUESTS = 100_000
EDGE_SECONDS = 1.0


@dataclass(frozen=True)
class Ledger:
    """What stands in the records: the promise, and every request id with its moment."""

    promised_us: int
    moments_us: dict[str, int]

    def promised_ids(self, promised_us: int) -> set[str]:
        """Return the ids below a promise."""
        return {name for name, moment in self.moments_us.items() if moment < promised_us}


@pytest.fixture
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the Redis that several workers need."""
    with running_redis(tmp_path_factory.mktemp("redis")) as redis:
        yield redis.url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> PostgresServer | None:
    """Keep the records in the data folder, or in PostgreSQL."""
    if request.param == "sqlite":
        return None
    server: PostgresServer = request.getfixturevalue("postgres")
    return server


@pytest.fixture
def stack(tmp_path: Path, database: PostgresServer | None, redis_url: str) -> Iterator[Stack]:
    """Run two workers, each with a journal."""
    settings = {"TOLLGATE_REDIS_URL": redis_url}
    if database is not None:
        settings["TOLLGATE_DATABASE_URL"] = database.create_database()
    (tmp_path / "data").mkdir()
    running = Stack(tmp_path / "data", port=free_port(), workers=2, settings=settings)
    running.start()
    yield running
    running.stop()


def back_up(stack: Stack, folder: Path) -> None:
    """Do what the manual says: `tollgate backup`, then pg_dump."""
    settings = os.environ | stack.settings | {"TOLLGATE_DATA_DIR": str(stack.data_dir)}
    command = [sys.executable, "-m", "gateway.cli", "backup", str(folder)]
    subprocess.run(command, cwd=ROOT, env=settings, check=True, capture_output=True)
    url = stack.settings.get("TOLLGATE_DATABASE_URL")
    if url is not None:
        dump = f"--file={folder / 'records.dump'}"
        subprocess.run([program("pg_dump"), "--format=custom", dump, url], check=True)


def restore(lost: Stack, database: PostgresServer | None, folder: Path) -> Stack:
    """Put a backup into an empty place and return a server on it that is not started."""
    data_dir = lost.data_dir.with_name("restored")
    shutil.copytree(folder, data_dir)
    settings = dict(lost.settings)
    if database is not None:
        url = settings["TOLLGATE_DATABASE_URL"] = database.create_database()
        dump = str(folder / "records.dump")
        subprocess.run([program("pg_restore"), f"--dbname={url}", "--no-owner", dump], check=True)
    return Stack(data_dir, port=free_port(), workers=2, settings=settings, keys=lost.keys)


async def load_with_backup(stack: Stack, folder: Path) -> tuple[ClientLog, set[str]]:
    """Back up under load and lose everything a while later.

    Returns the whole log, and the ids that had been answered when the backup began.
    """
    callers = await asyncio.to_thread(populate, stack, tenants=3, keys_each=2)
    log, example = ClientLog(), stack.demo["example"]
    load = asyncio.create_task(
        run_load(stack.port, callers, example, requests=REQUESTS, connections=CONNECTIONS, log=log)
    )
    await asyncio.sleep(EDGE_SECONDS)
    before = {served.request_id for served in log.served}
    await asyncio.to_thread(back_up, stack, folder)
    await asyncio.sleep(EDGE_SECONDS)
    await asyncio.to_thread(stack.kill)
    await load
    return log, before


async def read_ledger(stack: Stack) -> Ledger:
    """Read the records of a stack, whether it runs or not."""
    url = stack.settings.get("TOLLGATE_DATABASE_URL")
    engine = create_engine(url or f"sqlite:///{stack.data_dir / 'tollgate.db'}")
    columns = (usage_records.c.request_id, usage_records.c.occurred_at_us)
    async with engine.connect() as connection:
        promised_us = (await usage_report(engine, UsageQuery(0, 1, "month"))).complete_through_us
        answers = select(*columns).where(usage_records.c.corrects == "")
        rows = (await connection.execute(answers)).all()
    await engine.dispose()
    return Ledger(promised_us, {row.request_id: row.occurred_at_us for row in rows})


def test_restored_server_bills_everything_once(
    stack: Stack, database: PostgresServer | None, tmp_path: Path
) -> None:
    """What was answered before the backup is there, nothing is made up, and promises hold."""
    folder = tmp_path / "backup"
    log, before = asyncio.run(load_with_backup(stack, folder))
    assert before
    restored = restore(stack, database, folder)
    copied = asyncio.run(read_ledger(restored))
    restored.start()
    answer = restored.call("GET", "/v1/usage", key=restored.demo["billing_key"])
    final = asyncio.run(read_ledger(restored))
    restored.stop()
    assert before <= final.moments_us.keys()
    unseen = final.moments_us.keys() - {served.request_id for served in log.served}
    assert len(unseen) <= CONNECTIONS
    assert sum(item["requests"] for item in answer.body["data"]) == len(final.moments_us)
    promised = copied.promised_us
    assert copied.promised_ids(promised) == final.promised_ids(promised)
    assert PASSWORD not in restored.log()
