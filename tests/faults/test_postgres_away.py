"""PostgreSQL is stopped, killed or locked under load: predictions go on, and the bill is whole."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import psycopg
import pytest

from tests.faults.test_kill import CONNECTIONS, check
from tests.ledgers import Row
from tests.load import Caller, ClientLog, run_load
from tests.population import populate
from tests.postgres_server import PASSWORD, PostgresServer, name_of
from tests.redis_server import RedisServer, running_redis
from tests.serving import Answer, Server, free_port
from tests.stack import Stack

LOAD = 1_000_000  # more than there is time for; it is ended
AWAY_SECONDS = 2.0
SOAK_AWAY_SECONDS = 30.0
EDGE_SECONDS = 0.5
SETTINGS = {"TOLLGATE_DATABASE_TIMEOUT_SECONDS": "1"}

Outage = contextlib.AbstractContextManager[None]
_RUN = slice(12, 24)
"""The part of a request id that names the process."""


@pytest.fixture
def server(own_postgres: PostgresServer, tmp_path: Path) -> Iterator[Server]:
    """Run a server whose records are in a PostgreSQL of its own."""
    url = own_postgres.create_database()
    running = Server(tmp_path, free_port(), settings=SETTINGS | {"TOLLGATE_DATABASE_URL": url})
    running.start()
    yield running
    running.stop()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """Run the Redis that two workers need."""
    with running_redis(tmp_path) as running:
        yield running


@pytest.fixture
def stack(own_postgres: PostgresServer, redis: RedisServer, tmp_path: Path) -> Iterator[Stack]:
    """Run two workers over a Redis and a PostgreSQL, as production does."""
    (tmp_path / "data").mkdir()
    urls = {
        "TOLLGATE_DATABASE_URL": own_postgres.create_database(),
        "TOLLGATE_REDIS_URL": redis.url,
    }
    running = Stack(tmp_path / "data", port=free_port(), settings=SETTINGS | urls)
    running.start()
    yield running
    running.stop()


def ledger(server: Server, postgres: PostgresServer) -> list[Row]:
    """Read the ledger's rows."""
    columns = "request_id, tenant_id, key_id, model, version, rows, units"
    name = name_of(server.settings["TOLLGATE_DATABASE_URL"])
    query = f"SELECT {columns} FROM usage_records WHERE corrects = ''"  # noqa: S608 - constant
    found = cast(
        "list[tuple[str, str, str, str, str, int, int]]", postgres.ask(query, database=name)
    )
    return [Row(*row) for row in found]


def change_something(server: Server, caller: Caller) -> Answer:
    """Ask for a change of the records."""
    path = f"/v1/tenants/{caller.tenant_id}/keys"
    body = {"name": "another", "scopes": ["predict"]}
    return server.call("POST", path, key=server.demo["admin_key"], body=body)


async def load_with_outage(
    server: Server, callers: list[Caller], outage: Outage, *, away_seconds: float
) -> tuple[ClientLog, Answer]:
    """Run a load over an outage; return what the clients saw and what a change was answered."""
    log = ClientLog()
    example = server.demo["example"]
    load = asyncio.create_task(
        run_load(server.port, callers, example, requests=LOAD, connections=CONNECTIONS, log=log)
    )
    await asyncio.sleep(EDGE_SECONDS)
    with outage:
        change = asyncio.to_thread(change_something, server, callers[0])
        answer, _ = await asyncio.gather(change, asyncio.sleep(away_seconds))
    await asyncio.sleep(EDGE_SECONDS)
    load.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await load
    return log, answer


def check_bill(server: Server, postgres: PostgresServer, log: ClientLog) -> None:
    """Compare the clients' log with the bill and with the rows under it, by request id."""
    answer = server.call("GET", "/v1/usage", key=server.demo["billing_key"])
    assert answer.status == 200, answer.body
    rows = ledger(server, postgres)
    check(log, rows, lost_before=0)
    assert sum(item["units"] for item in answer.body["data"]) == sum(row[6] for row in rows)


@contextlib.contextmanager
def hung(postgres: PostgresServer) -> Iterator[None]:
    """Stop it where it is."""
    postgres.hang()
    yield
    postgres.resume()


@contextlib.contextmanager
def killed(postgres: PostgresServer) -> Iterator[None]:
    """Crash it and start it again."""
    postgres.kill()
    yield
    postgres.start()


@contextlib.contextmanager
def locked(postgres: PostgresServer, *, database: str) -> Iterator[None]:
    """Hold locks on the tables that are written, as a careless maintenance does."""
    with psycopg.connect(postgres.url_of(database)) as connection:
        connection.execute("LOCK TABLE usage_records, usage_journals, catalog_revision")
        yield


def outage_of(kind: str, server: Server, postgres: PostgresServer) -> Outage:
    """Choose what happens to the database."""
    if kind == "locked":
        return locked(postgres, database=name_of(server.settings["TOLLGATE_DATABASE_URL"]))
    return {"hung": hung, "killed": killed}[kind](postgres)


def survive(
    kind: str, server: Server, postgres: PostgresServer, *, away_seconds: float = AWAY_SECONDS
) -> None:
    """Load the server through an outage and hold it to all its promises."""
    callers = populate(server, tenants=3, keys_each=2)
    outage = outage_of(kind, server, postgres)
    log, answer = asyncio.run(load_with_outage(server, callers, outage, away_seconds=away_seconds))
    assert log.served
    assert not log.refused
    assert answer.status == 503, answer.body
    assert int(answer.headers["retry-after"]) >= 1
    check_bill(server, postgres, log)
    assert change_something(server, callers[0]).status == 201
    for secret in (PASSWORD, "Traceback"):
        assert secret not in server.log()


@pytest.mark.parametrize("kind", ["hung", "killed", "locked"])
def test_outage_is_survived(kind: str, server: Server, own_postgres: PostgresServer) -> None:
    """No prediction fails, changes get 503 and when to come back, and nothing is lost."""
    survive(kind, server, own_postgres)


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["hung", "killed", "locked"])
def test_long_outage_is_survived(kind: str, server: Server, own_postgres: PostgresServer) -> None:
    """The same for half a minute."""
    survive(kind, server, own_postgres, away_seconds=SOAK_AWAY_SECONDS)


def test_server_killed_while_postgresql_is_away_owes_nothing(
    server: Server, own_postgres: PostgresServer
) -> None:
    """What the ledger did not take waits in the journal for the next start."""
    [caller] = populate(server, tenants=1, keys_each=1)
    example, log = server.demo["example"], ClientLog()
    asyncio.run(run_load(server.port, [caller], example, requests=4, connections=1, log=log))
    own_postgres.kill()
    asyncio.run(run_load(server.port, [caller], example, requests=496, connections=4, log=log))
    server.kill()
    own_postgres.start()
    server.start()
    assert len(log.served) == 500
    check_bill(server, own_postgres, log)


def has_all(stack: Stack, postgres: PostgresServer, log: ClientLog) -> bool:
    """Tell whether everything that was answered is in the ledger."""
    rows = {row.request_id for row in ledger(stack, postgres)}
    return all(served.request_id in rows for served in log.served)


def survive_with_two_workers(
    kind: str, stack: Stack, postgres: PostgresServer, *, away_seconds: float
) -> None:
    """Load two workers through an outage; each delivers by itself when it is over."""
    callers = populate(stack, tenants=3, keys_each=2)
    outage = outage_of(kind, stack, postgres)
    log, answer = asyncio.run(load_with_outage(stack, callers, outage, away_seconds=away_seconds))
    assert log.served
    assert not log.refused
    assert answer.status == 503, answer.body
    stack.wait_until(lambda: has_all(stack, postgres, log), "the ledger has everything")
    check_bill(stack, postgres, log)


def test_outage_is_survived_by_two_workers(stack: Stack, own_postgres: PostgresServer) -> None:
    """Nobody has to ask for the bill before the ledger is complete again."""
    survive_with_two_workers("hung", stack, own_postgres, away_seconds=AWAY_SECONDS)


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["hung", "killed", "locked"])
def test_long_outage_is_survived_by_two_workers(
    kind: str, stack: Stack, own_postgres: PostgresServer
) -> None:
    """The same for half a minute."""
    survive_with_two_workers(kind, stack, own_postgres, away_seconds=SOAK_AWAY_SECONDS)


def test_redis_that_comes_back_while_postgresql_is_away_stops_nobody(
    stack: Stack, own_postgres: PostgresServer, redis: RedisServer
) -> None:
    """Workers of one data folder know of every change by its counter.

    Rolled, both have read the key, and neither remembers an outage. Of a starved machine's two, one
    may serve every request of a load, so no more than one return of Redis can be waited for.
    """
    [caller] = populate(stack, tenants=1, keys_each=1)
    stack.roll()
    log, example = ClientLog(), stack.demo["example"]

    def load() -> None:
        asyncio.run(run_load(stack.port, [caller], example, requests=200, connections=8, log=log))

    load()
    returns = stack.log().count("Redis answers again")
    with killed(own_postgres):
        redis.kill()
        load()
        redis.start()
        stack.wait_until(
            lambda: stack.log().count("Redis answers again") > returns, "Redis is back"
        )
        load()
    assert (len(log.served), dict(log.refused)) == (600, {})


def test_worker_that_dies_while_postgresql_is_away_comes_back(
    stack: Stack, own_postgres: PostgresServer
) -> None:
    """The supervisor tries until it starts; the other worker serves meanwhile."""
    [caller] = populate(stack, tenants=1, keys_each=1)
    example = stack.demo["example"]
    workers: set[str] = set()

    def ask_another() -> bool:
        answer = stack.predict(caller.api_key, example)
        assert answer.status == 200
        workers.add(answer.headers["x-request-id"][_RUN])
        return len(workers) > 1

    stack.wait_until(ask_another, "both workers know the key")
    own_postgres.kill()
    stack.kill_worker(stack.worker_pids()[0])
    stack.wait_until(lambda: "did not start" in stack.log(), "the start is refused")
    assert stack.predict(caller.api_key, example).status == 200
    own_postgres.start()
    stack.wait_until(lambda: "is ready again" in stack.log(), "the worker is back")
    assert "Traceback" not in stack.log()
