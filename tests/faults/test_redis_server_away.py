"""The whole server with its limits in Redis: exact, and undisturbed when Redis goes."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.load import Caller, run_load
from tests.population import make_caller, make_plan, make_tenant, populate
from tests.redis_server import RedisServer, running_redis
from tests.serving import Server, free_port

ATTEMPTS = 300
CONNECTIONS = 16


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """Run a Redis that the test may break."""
    with running_redis(tmp_path) as server:
        yield server


@pytest.fixture
def server(tmp_path: Path, redis_server: RedisServer) -> Iterator[Server]:
    """Run a server that counts in this Redis."""
    running = Server(tmp_path, free_port(), {"TOLLGATE_REDIS_URL": redis_server.url})
    running.start()
    yield running
    running.stop()


def limited_caller(server: Server) -> Caller:
    """Make a key with a burst of 37 that does not refill during a test."""
    plan_id = make_plan(server, requests_per_second=0.001, burst=37)
    return make_caller(server, make_tenant(server, plan_id))


def hammer(server: Server, caller: Caller) -> tuple[int, dict[int, int]]:
    """Send more than is allowed; return what was served and what was refused."""
    example = server.demo["example"]
    load = run_load(server.port, [caller], example, requests=ATTEMPTS, connections=CONNECTIONS)
    log = asyncio.run(load)
    return len(log.served), dict(log.refused)


def test_burst_is_exact_and_outlives_a_restart(server: Server) -> None:
    """Redis remembers what a new process does not know."""
    caller = limited_caller(server)
    assert hammer(server, caller) == (37, {429: ATTEMPTS - 37})
    server.stop()
    server.start()
    assert hammer(server, caller) == (0, {429: ATTEMPTS})


def test_burst_is_exact_when_redis_dies_in_the_middle(
    server: Server, redis_server: RedisServer
) -> None:
    """The process goes on from where Redis was, and stays ready."""
    caller = limited_caller(server)
    for _ in range(17):
        assert server.predict(caller.api_key, server.demo["example"]).status == 200
    redis_server.kill()
    assert hammer(server, caller) == (20, {429: ATTEMPTS - 20})
    assert server.call("GET", "/healthz/ready").body["ready"]
    assert server.log().count("limits go on without Redis") == 1


async def load_with_faults(server: Server, redis_server: RedisServer) -> dict[int, int]:
    """Hang, resume, kill and restart Redis under load, and return what was not served."""
    callers = await asyncio.to_thread(populate, server, tenants=10, keys_each=5)
    example = server.demo["example"]
    load = asyncio.create_task(
        run_load(server.port, callers, example, requests=6000, connections=CONNECTIONS)
    )
    for break_redis, mend_redis in (
        (redis_server.hang, redis_server.resume),
        (redis_server.kill, redis_server.start),
    ):
        await asyncio.sleep(0.3)
        await asyncio.to_thread(break_redis)
        await asyncio.sleep(0.3)
        await asyncio.to_thread(mend_redis)
    log = await load
    assert len(log.served) + log.refused.total() == 6000
    return dict(log.refused)


def test_no_prediction_fails_when_redis_does(server: Server, redis_server: RedisServer) -> None:
    """Hung, killed and back: every request is answered, and none with an error."""
    assert asyncio.run(load_with_faults(server, redis_server)) == {}
    assert "limits go on without Redis" in server.log()
    assert "Traceback" not in server.log()
