"""Workers are changed under load, and nobody notices."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ledgers import ledger_ids
from tests.load import Caller, ClientLog, Pace, run_load
from tests.population import populate
from tests.redis_server import running_redis
from tests.serving import free_port
from tests.stack import Stack, running_stack

CONNECTIONS = 16
MORE_THAN_CAN_BE_SERVED = 10_000_000
PEAK_REQUESTS = 10_000


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Stack]:
    """Two workers on a unix socket, which count limits in Redis."""
    with running_redis(tmp_path) as redis, running_stack(tmp_path, redis_url=redis.url) as stack:
        yield stack


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Stack]:
    """One worker on a port, which counts limits itself."""
    stack = Stack(tmp_path, port=free_port(), workers=1)
    stack.start()
    yield stack
    stack.stop()


async def roll_under_load(
    stack: Stack, callers: list[Caller], *, times: int, per_second: float | None = None
) -> ClientLog:
    """Change all workers `times` times under load; return what the clients saw."""
    log, pace = ClientLog(), Pace(MORE_THAN_CAN_BE_SERVED, per_second=per_second)
    example = stack.demo["example"]
    load = asyncio.create_task(
        run_load(stack.address, callers, example, connections=CONNECTIONS, pace=pace, log=log)
    )
    for _ in range(times):
        await asyncio.to_thread(stack.roll)
    pace.stop()
    await load
    return log


async def peak_of(stack: Stack, callers: list[Caller]) -> float:
    """Return how many requests are answered in a second, at most."""
    loop = asyncio.get_running_loop()
    began, example = loop.time(), stack.demo["example"]
    await run_load(stack.address, callers, example, requests=PEAK_REQUESTS, connections=CONNECTIONS)
    return PEAK_REQUESTS / (loop.time() - began)


def check_rolls(stack: Stack, *, times: int, per_second: float | None = None) -> None:
    """Change all workers under load, and compare what clients saw with the bill."""
    before = set(stack.worker_pids())
    callers = populate(stack, tenants=2, keys_each=2)
    log = asyncio.run(roll_under_load(stack, callers, times=times, per_second=per_second))
    assert log.failures == {}
    assert not before & set(stack.worker_pids())
    assert stack.stop() == 0
    assert len(log.served) > CONNECTIONS
    billed = ledger_ids(stack, *{caller.tenant_id for caller in callers})
    assert billed == log.served_ids
    assert "Traceback" not in stack.log()


def roll_at_seventy_percent(stack: Stack) -> None:
    """Find the peak, then change all workers a hundred times at a load below it."""
    peak = asyncio.run(peak_of(stack, populate(stack, tenants=1, keys_each=4)))
    check_rolls(stack, times=100, per_second=0.7 * peak)


def test_no_request_fails_while_workers_are_changed(shared: Stack) -> None:
    """The new worker is ready before the old one drains; each answer is billed once."""
    check_rolls(shared, times=2)


def test_no_request_fails_while_the_only_worker_is_changed(alone: Stack) -> None:
    """Callers wait in the backlog until the new worker may count limits."""
    check_rolls(alone, times=2)


@pytest.mark.soak
def test_no_request_fails_in_a_hundred_rolling_restarts(shared: Stack) -> None:
    """At 70 % of the peak, over the unix socket."""
    roll_at_seventy_percent(shared)


@pytest.mark.soak
def test_no_request_fails_in_a_hundred_changes_of_the_only_worker(alone: Stack) -> None:
    """The same over TCP, with limits in the worker."""
    roll_at_seventy_percent(alone)
