"""Many clients, four workers, one Redis: limits are exact, with faults and without. Long runs."""

import asyncio
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.client_process import Attempts, attempt_all, read_clients, start_clients
from tests.load import Caller
from tests.population import make_caller, make_plan, make_tenant, populate
from tests.redis_faults import FAULTS, Fault, FaultyRedis, faulty_redis, until_so
from tests.serving import free_port
from tests.stack import Stack

pytestmark = pytest.mark.soak

WORKERS = 4
PROCESSES = 8
ATTEMPTS = 100_000
TENANTS, KEYS_EACH = 50, 20
BURST, QUOTA = 60, 1200
ROUNDS = 10
REQUESTS_PER_ROUND = 1000
CONNECTIONS = 16
WITH_SOFTWARE = [fault for fault in FAULTS if fault.name in ("killed", "hung", "slow", "flushed")]


@pytest.fixture
def faulty(tmp_path: Path) -> Iterator[FaultyRedis]:
    """Run a Redis that the test may break."""
    (folder := tmp_path / "redis").mkdir()
    with faulty_redis(folder) as faulty:
        yield faulty


@pytest.fixture
def stack(request: pytest.FixtureRequest, tmp_path: Path, faulty: FaultyRedis) -> Iterator[Stack]:
    """Run four workers that share a Redis."""
    (folder := tmp_path / "data").mkdir()
    settings = {"TOLLGATE_REDIS_URL": faulty.url} | getattr(request, "param", {})
    stack = Stack(folder, port=free_port(), workers=WORKERS, settings=settings)
    stack.start()
    yield stack
    stack.stop()


def ledger_of(stack: Stack) -> Counter[str]:
    """Count the billed requests of each key, after the server has ended."""
    query = "SELECT key_id, count(*) FROM usage_records WHERE corrects = '' GROUP BY key_id"
    with closing(sqlite3.connect(stack.data_dir / "tollgate.db")) as connection:
        return Counter(dict(connection.execute(query).fetchall()))


def limited_callers(stack: Stack) -> dict[str, list[Caller]]:
    """Make tenants of which half are bound by their keys' bursts and half by their quota."""
    plans = [
        make_plan(stack, requests_per_second=0.0001, burst=BURST),
        make_plan(stack, units_per_month=QUOTA),
    ]
    tenants = [make_tenant(stack, plans[number % 2]) for number in range(TENANTS)]
    return {
        tenant_id: [make_caller(stack, tenant_id) for _ in range(KEYS_EACH)]
        for tenant_id in tenants
    }


def attempt_from_processes(stack: Stack, callers: list[Caller], *, kill_one: bool) -> Attempts:
    """Let eight processes attempt all, a worker dying in the middle if so told."""
    turns = [callers[keys::TENANTS] for keys in range(TENANTS)]
    mixed = [caller for turn in turns for caller in turn]
    order = {
        "port": stack.port,
        "callers": [(caller.tenant_id, caller.key_id, caller.api_key) for caller in mixed],
        "example": stack.demo["example"],
        "attempts": ATTEMPTS // PROCESSES,
        "connections": 4,
    }
    processes = [start_clients(order) for _ in range(PROCESSES)]
    if kill_one:
        stack.wait_until(lambda: _shipped(stack) > ATTEMPTS // 10, "the load has begun")
        stack.kill_worker(stack.worker_pids()[0])
    log = Attempts()
    for process in processes:
        log.add(read_clients(process))
    return log


def _shipped(stack: Stack) -> int:
    return ledger_of(stack).total()


# Eight clients, four workers and Redis may have to take turns on two processors.
@pytest.mark.parametrize("kill_one", [False, True], ids=["undisturbed", "a worker killed"])
def test_limits_are_exact_over_processes_and_workers(
    stack: Stack, capsys: pytest.CaptureFixture[str], *, kill_one: bool
) -> None:
    """What is admitted is the limit, but for answers that a killed worker took with it."""
    tenants = limited_callers(stack)
    callers = [caller for keys in tenants.values() for caller in keys]
    log = attempt_from_processes(stack, callers, kill_one=kill_one)
    lost = log.unanswered.total()
    stack.stop()
    assert "limits go on without Redis" not in stack.log()
    billed, by_burst, by_quota = ledger_of(stack), 0, 0
    for number, keys in enumerate(tenants.values()):
        counts = [log.served[caller.key_id] for caller in keys]
        if number % 2 == 0:
            assert max(counts) <= BURST
            by_burst += sum(counts)
        else:
            assert sum(counts) <= QUOTA
            by_quota += sum(counts)
    expected = TENANTS // 2 * (KEYS_EACH * BURST + QUOTA)
    assert expected - lost <= by_burst + by_quota <= expected
    assert set(log.statuses) == {200, 429}
    assert log.answers + lost == ATTEMPTS
    assert log.served.total() <= billed.total() <= log.served.total() + lost
    with capsys.disabled():
        sys.stdout.write(
            f"\n{ATTEMPTS} attempts: {by_burst} of {TENANTS // 2 * KEYS_EACH * BURST} by burst, "
            f"{by_quota} of {TENANTS // 2 * QUOTA} by quota, {lost} unanswered, "
            f"p50 {log.wait_at(0.5):.1f} ms, p99 {log.wait_at(0.99):.1f} ms"
        )


async def load_through(stack: Stack, faulty: FaultyRedis, fault: Fault | None) -> Attempts:
    """Break and mend Redis ten times under load; None breaks nothing."""
    callers = await asyncio.to_thread(populate, stack, tenants=20, keys_each=10)
    log = Attempts()
    load = asyncio.create_task(
        attempt_all(
            stack.port,
            callers,
            stack.demo["example"],
            attempts=ROUNDS * REQUESTS_PER_ROUND,
            connections=CONNECTIONS,
            log=log,
        )
    )
    for number in range(ROUNDS if fault else 0):
        assert fault is not None
        for step, share in ((fault.begin, 0.2), (fault.end, 0.7)):
            goal = int((number + share) * REQUESTS_PER_ROUND)
            await until_so(lambda goal=goal: log.answers >= goal)  # type: ignore[misc]
            await asyncio.to_thread(step, faulty)
    await load
    return log


@pytest.mark.parametrize("fault", WITH_SOFTWARE, ids=lambda fault: fault.name)
def test_faults_of_redis_cost_no_answer_and_no_bill(
    *, stack: Stack, faulty: FaultyRedis, capsys: pytest.CaptureFixture[str], fault: Fault
) -> None:
    """Ten times each: only 200, and the ledger is the clients' log."""
    quiet = asyncio.run(load_through(stack, faulty, None))
    log = asyncio.run(load_through(stack, faulty, fault))
    stack.stop()
    assert set(log.statuses) == {200}
    assert log.unanswered.total() == 0
    assert ledger_of(stack) == log.served + quiet.served
    with capsys.disabled():
        sys.stdout.write(
            f"\nRedis {fault.name} {ROUNDS} times: p99 {log.wait_at(0.99):.1f} ms "
            f"(without {quiet.wait_at(0.99):.1f} ms), p50 {log.wait_at(0.5):.1f} ms "
            f"(without {quiet.wait_at(0.5):.1f} ms)"
        )


@pytest.mark.parametrize("fault", WITH_SOFTWARE, ids=lambda fault: fault.name)
def test_faults_of_redis_lift_no_limit(stack: Stack, faulty: FaultyRedis, fault: Fault) -> None:
    """Before, during and after an outage no more than the limit and one share of it gets in."""
    callers = [
        make_caller(
            stack, make_tenant(stack, make_plan(stack, burst=400, requests_per_second=0.0001))
        )
        for _ in range(10)
    ]

    async def attempt() -> Attempts:
        log = Attempts()
        load = asyncio.create_task(
            attempt_all(
                stack.port,
                callers,
                stack.demo["example"],
                attempts=10_000,
                connections=CONNECTIONS,
                log=log,
            )
        )
        for step, goal in ((fault.begin, 1000), (fault.end, 3000)):
            await until_so(lambda goal=goal: log.answers >= goal)  # type: ignore[misc]
            await asyncio.to_thread(step, faulty)
        await load
        return log

    log = asyncio.run(attempt())
    assert set(log.statuses) <= {200, 429}
    assert max(log.served.values()) <= 800
