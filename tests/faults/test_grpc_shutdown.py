"""Ends and restarts of workers under gRPC load: who was answered is billed once, nobody else is."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from tests.faults.test_shutdown import terminate
from tests.fronted import NO_ADDRESS_LIMITS, Front, running_front
from tests.grpc_door import grpc_caller, infer_request
from tests.ledgers import ledger_ids
from tests.load import Caller
from tests.population import populate
from tests.redis_server import running_redis
from tests.serving import Server, free_port
from tests.typed_models import write_float_models

CALLS_AT_ONCE = 16
ENOUGH = 300
ROLLS = 5
REQUEST = infer_request("wide", x=np.ones((1, 3), np.float32))


@dataclass
class Log:
    """What callers were told."""

    served: list[str] = field(default_factory=list)
    """Request ids."""

    codes: Counter[str] = field(default_factory=Counter)
    """How often each status came."""

    @property
    def is_enough(self) -> bool:
        """Whether the load is on."""
        return len(self.served) >= ENOUGH


async def call_until(
    target: str, caller: Caller, is_over: Callable[[Log], bool], *, authority: bytes | None = None
) -> Log:
    """Call over one connection, so many at once, until it is over."""
    log = Log()

    async with grpc_caller(target, authority=authority, own_connection=True) as channel:

        async def call() -> None:
            while not is_over(log):
                told = await channel.call("ModelInfer", REQUEST, key=caller.api_key)
                log.codes[told.code] += 1
                if told.code == "OK":
                    log.served.append(told.metadata["x-request-id"])

        await asyncio.gather(*(call() for _ in range(CALLS_AT_ONCE)))
    return log


@pytest.fixture
def grpc_server(tmp_path: Path) -> Iterator[Server]:
    """Run one worker on ports."""
    write_float_models(tmp_path / "models")
    (tmp_path / "data").mkdir()
    settings = {
        "TOLLGATE_MODEL_REPOSITORY": str(tmp_path / "models"),
        "TOLLGATE_GRPC_PORT": str(free_port()),
    }
    running = Server(tmp_path / "data", free_port(), settings=settings)
    running.start()
    yield running
    running.stop()


def test_calls_in_progress_are_answered_at_the_end(grpc_server: Server) -> None:
    """The ledger of the closed server holds exactly the answers that callers saw."""
    [caller] = populate(grpc_server, tenants=1, keys_each=1)
    has_ended = False

    def is_over(log: Log) -> bool:
        nonlocal has_ended
        if log.is_enough and not has_ended:
            has_ended = True
            terminate(grpc_server)
        return log.codes.keys() != {"OK"} and log.is_enough

    target = f"127.0.0.1:{grpc_server.settings['TOLLGATE_GRPC_PORT']}"
    log = asyncio.run(call_until(target, caller, is_over))
    assert grpc_server.process is not None
    assert grpc_server.process.wait(60) == 0
    assert log.codes.keys() <= {"OK", "UNAVAILABLE", "CANCELLED"}
    assert ledger_ids(grpc_server, caller.tenant_id) == sorted(log.served)
    assert "Traceback" not in grpc_server.log()


async def roll_under_calls(front: Front, caller: Caller, *, times: int) -> Log:
    """Change all workers again and again while callers ask through Nginx."""
    is_done = asyncio.Event()

    async def roll() -> None:
        for _ in range(times):
            await asyncio.to_thread(front.stack.roll)
        is_done.set()

    target = front.nginx.url.removeprefix("https://")
    authority = await asyncio.to_thread(front.nginx.certificates.authority.read_bytes)
    calls = call_until(target, caller, lambda _: is_done.is_set(), authority=authority)
    log, _ = await asyncio.gather(calls, roll())
    return log


@pytest.mark.soak
def test_no_call_is_lost_in_rolling_restarts(tmp_path: Path) -> None:
    """Each worker's socket changes hands while Nginx keeps connections to it."""
    write_float_models(tmp_path / "models")
    settings = {"grpc_port": "1", "model_repository": str(tmp_path / "models")}
    with (
        running_redis(tmp_path) as redis,
        running_front(
            tmp_path,
            workers=2,
            settings={**settings, "redis_url": redis.url},
            nginx=NO_ADDRESS_LIMITS,
        ) as front,
    ):
        [caller] = populate(front.stack, tenants=1, keys_each=1)
        log = asyncio.run(roll_under_calls(front, caller, times=ROLLS))
        assert log.codes.keys() == {"OK"}
        assert sorted(front.billed(caller.tenant_id)) == sorted(log.served)
