"""Workers and their supervisor are killed under load: I1, I3 and I8 of the usage invariants."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.test_kill import check
from tests.ledgers import ledger_ids, ledger_rows
from tests.load import Caller, ClientLog, Pace, run_load
from tests.population import populate
from tests.redis_server import running_redis
from tests.stack import Stack, running_stack

CONNECTIONS = 16
MORE_THAN_CAN_BE_SERVED = 10_000_000
ENOUGH = 300
"""Answers that must have been seen before a kill, so that it falls into the load."""


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Two workers on a unix socket, which count limits in Redis."""
    with running_redis(tmp_path) as redis, running_stack(tmp_path, redis_url=redis.url) as running:
        yield running


@dataclass(frozen=True)
class Load:
    """A load that goes on until it is stopped."""

    log: ClientLog
    pace: Pace
    task: asyncio.Task[ClientLog]

    async def served_more(self) -> None:
        """Wait until a good number of answers have come, or the load has ended."""
        enough = len(self.log.served) + ENOUGH
        while len(self.log.served) < enough and not self.task.done():
            await asyncio.wait([self.task], timeout=0.01)


async def under_load(
    stack: Stack, callers: list[Caller], fault: Callable[[Load], Awaitable[None]]
) -> ClientLog:
    """Let a fault happen once a load is on; return what the clients saw."""
    log, pace = ClientLog(), Pace(MORE_THAN_CAN_BE_SERVED)
    running = run_load(
        stack.address,
        callers,
        stack.demo["example"],
        connections=CONNECTIONS,
        pace=pace,
        log=log,
        survives=True,
    )
    load = Load(log, pace, asyncio.create_task(running))
    await load.served_more()
    await fault(load)
    pace.stop()
    return await load.task


def test_killed_worker_loses_nothing_and_others_deliver_its_usage(stack: Stack) -> None:
    """Whatever it had answered is in the ledger while the server runs on."""

    async def kill_one(load: Load) -> None:
        stack.kill_worker(stack.worker_pids()[0])
        await load.served_more()

    log = asyncio.run(under_load(stack, populate(stack, tenants=2, keys_each=2), kill_one))
    served = set(log.served_ids)
    stack.wait_until(lambda: served <= set(ledger_ids(stack)), "everything answered is billed")
    assert not log.refused
    check(log, ledger_rows(stack), lost_before=0)


def test_killed_supervisor_takes_its_workers_with_it_and_owes_nothing(stack: Stack) -> None:
    """They finish what they have; the next start needs no tidying."""

    async def kill_it(_: Load) -> None:
        await asyncio.to_thread(stack.kill_supervisor)

    log = asyncio.run(under_load(stack, populate(stack, tenants=2, keys_each=2), kill_it))
    stack.start()
    assert stack.stop() == 0
    assert not log.refused
    check(log, ledger_rows(stack), lost_before=0)


def test_killed_server_answers_again_and_owes_nothing(stack: Stack) -> None:
    """Every process at once, as a power cut would; what is left is delivered by the next start."""

    async def kill_all(_: Load) -> None:
        await asyncio.to_thread(stack.kill)

    callers = populate(stack, tenants=2, keys_each=2)
    log = asyncio.run(under_load(stack, callers, kill_all))
    stack.start()
    assert stack.predict(callers[0].api_key, stack.demo["example"]).status == 200
    assert stack.stop() == 0
    assert not log.refused
    check(log, ledger_rows(stack), lost_before=1)
