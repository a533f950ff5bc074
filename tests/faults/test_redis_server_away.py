"""The whole server with its limits in Redis: exact, and undisturbed when Redis goes."""

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.load import Caller, ClientLog, run_load
from tests.population import make_caller, make_plan, make_tenant, populate
from tests.redis_faults import Fault, FaultyRedis, every_fault, faulty_redis, until_answered
from tests.redis_server import RedisServer, running_redis
from tests.serving import Server, free_port

ATTEMPTS = 300
REQUESTS = 2000
CONNECTIONS = 16


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyRedis]:
    """Run a Redis that is broken, and mended again, by one test after the other."""
    with faulty_redis(tmp_path_factory.mktemp("redis")) as faulty:
        yield faulty


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """Run a Redis that the test may leave broken."""
    with running_redis(tmp_path) as server:
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, faulty: FaultyRedis) -> Iterator[Server]:
    """Run a server that counts in the Redis that is mended again."""
    folder = tmp_path_factory.mktemp("server")
    running = Server(folder, free_port(), {"TOLLGATE_REDIS_URL": faulty.url})
    running.start()
    yield running
    running.stop()


@pytest.fixture
def own_server(tmp_path: Path, redis_server: RedisServer) -> Iterator[Server]:
    """Run a server of the test's own."""
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


def test_burst_is_exact_and_outlives_a_restart(own_server: Server) -> None:
    """Redis remembers what a new process does not know."""
    caller = limited_caller(own_server)
    assert hammer(own_server, caller) == (37, {429: ATTEMPTS - 37})
    own_server.stop()
    own_server.start()
    assert hammer(own_server, caller) == (0, {429: ATTEMPTS})


def test_burst_is_exact_when_redis_dies_in_the_middle(
    own_server: Server, redis_server: RedisServer
) -> None:
    """The process goes on from where Redis was, and stays ready."""
    caller = limited_caller(own_server)
    for _ in range(17):
        assert own_server.predict(caller.api_key, own_server.demo["example"]).status == 200
    redis_server.kill()
    assert hammer(own_server, caller) == (20, {429: ATTEMPTS - 20})
    assert own_server.call("GET", "/healthz/ready").body["ready"]
    told = "limits go on without Redis"
    own_server.wait_until(lambda: told in own_server.log(), "the log says so")
    assert own_server.log().count(told) == 1


async def load_through(server: Server, faulty: FaultyRedis, fault: Fault) -> ClientLog:
    """Break Redis in the middle of a load and mend it before the end."""
    callers = await asyncio.to_thread(populate, server, tenants=10, keys_each=5)
    example, log = server.demo["example"], ClientLog()
    load = asyncio.create_task(
        run_load(server.port, callers, example, requests=REQUESTS, connections=CONNECTIONS, log=log)
    )
    for step, answers in ((fault.begin, REQUESTS // 4), (fault.end, REQUESTS // 2)):
        await until_answered(log, answers)
        await asyncio.to_thread(step, faulty)
    await load
    return log


@every_fault
def test_no_prediction_fails_when_redis_does(
    server: Server, faulty: FaultyRedis, fault: Fault
) -> None:
    """Every request is answered, and none with an error."""
    log = asyncio.run(load_through(server, faulty, fault))
    assert (len(log.served), dict(log.refused)) == (REQUESTS, {})
    assert "Traceback" not in server.log()


async def revoke_through(server: Server, faulty: FaultyRedis, fault: Fault) -> list[int]:
    """Revoke a key while Redis is broken; return what it was told then and afterwards."""
    [caller] = await asyncio.to_thread(populate, server, tenants=1, keys_each=1)
    predict = partial(server.predict, caller.api_key, server.demo["example"])
    statuses = [(await asyncio.to_thread(predict)).status]
    await asyncio.to_thread(fault.begin, faulty)
    path = f"/v1/tenants/{caller.tenant_id}/keys/{caller.key_id}"
    admin_key = server.demo["admin_key"]
    revoked = await asyncio.to_thread(server.call, "DELETE", path, key=admin_key)
    statuses += [revoked.status, (await asyncio.to_thread(predict)).status]
    await asyncio.to_thread(fault.end, faulty)
    return [*statuses, (await asyncio.to_thread(predict)).status]


@every_fault
def test_revoked_stays_revoked(server: Server, faulty: FaultyRedis, fault: Fault) -> None:
    """With Redis broken and with it mended, from the answer on."""
    assert asyncio.run(revoke_through(server, faulty, fault)) == [200, 204, 401, 401]
