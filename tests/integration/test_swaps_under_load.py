"""Versions are swapped under load: no request fails, each is answered wholly by the one it names.

Version 1 answers x + 1 and version 2 answers x + 2. The policy serves the latest one and the
champion, so that every second swap loads version 1 beside the other, and the next one frees it.
"""

import asyncio
import contextlib
import json
from bisect import bisect_left
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import pytest

from tests.load import Caller, read_reply
from tests.population import make_caller, make_plan, make_tenant
from tests.redis_server import running_redis
from tests.repositories import write_manifest
from tests.serving import ONE_ADDRESS, Server, free_port
from tests.stack import Stack
from tests.unit.gateway.models.workers import MODEL, write_adders
from tests.verdicts import share_verdicts

LANES = 6
MOST_ROWS = 5


@dataclass(frozen=True)
class Heard:
    """One answer, on the client's own clock."""

    began: float
    ended: float
    version: str


@dataclass
class Swaps:
    """What was promoted when, and what the clients heard meanwhile."""

    moments: list[tuple[float, float, str]] = field(default_factory=list)
    """When each promotion was asked for and answered, and of which version."""

    heard: list[Heard] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    is_over: bool = False

    def late(self) -> list[Heard]:
        """List answers of a version that another had replaced before the request began.

        A request that was still on while the next promotion was asked for may have either.
        """
        answered = [moment for _, moment, _ in self.moments]
        asked = [*(moment for moment, _, _ in self.moments), float("inf")]
        found = []
        for item in self.heard:
            number = bisect_left(answered, item.began) - 1
            if number < 0 or item.ended >= asked[number + 1]:
                continue
            if item.version != self.moments[number][2]:
                found.append(item)
        return found


def make_repository(folder: Path) -> Path:
    """Write both versions."""
    write_adders(folder, 1, 2)
    write_manifest(folder / MODEL, "[version_policy]\nlatest = 1\n")
    return folder


def request_of(caller: Caller, values: list[int]) -> bytes:
    """Write a request for some rows."""
    body = json.dumps({"instances": values})
    head = (
        f"POST /v1/models/{MODEL}:predict HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {caller.api_key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode()


async def ask(address: int | Path, caller: Caller, swaps: Swaps) -> None:
    """Ask without a pause until the swaps are over, and check every row of every answer."""
    if isinstance(address, int):
        reader, writer = await asyncio.open_connection("127.0.0.1", address)
    else:
        reader, writer = await asyncio.open_unix_connection(address)
    number = 0
    while not swaps.is_over:
        number += 1
        values = [number * 10 + row for row in range(1 + number % MOST_ROWS)]
        began = perf_counter()
        writer.write(request_of(caller, values))
        reply = await read_reply(reader)
        version = reply.headers.get("tollgate-model-version", "")
        swaps.heard.append(Heard(began, perf_counter(), version))
        expected = [value + int(version or 0) for value in values]
        if reply.status != 200 or json.loads(reply.body)["predictions"] != expected:
            swaps.faults.append(f"{reply.status} {reply.body!r} instead of {expected}")
    writer.close()


async def swap(server: Server, swaps: Swaps, count: int) -> None:
    """Promote one version after the other."""
    for number in range(count):
        version = str(1 + number % 2)
        asked = perf_counter()
        answer = await asyncio.to_thread(
            server.call,
            *("POST", f"/v1/models/{MODEL}/promote"),
            key=server.demo["admin_key"],
            body={"version": version},
        )
        swaps.moments.append((asked, perf_counter(), version))
        if answer.status != 200:
            swaps.faults.append(f"swap {number}: {answer.status} {answer.body}")
    swaps.is_over = True


async def swap_under_load(server: Server, address: int | Path, count: int) -> Swaps:
    """Swap while several tenants ask."""
    plan_id = make_plan(server)
    callers = [make_caller(server, make_tenant(server, plan_id)) for _ in range(LANES)]
    swaps = Swaps()
    await asyncio.gather(
        swap(server, swaps, count), *(ask(address, caller, swaps) for caller in callers)
    )
    return swaps


def check(swaps: Swaps, count: int) -> None:
    """Nothing failed, nothing was mixed, and nobody was late."""
    assert swaps.faults == []
    assert len(swaps.moments) == count
    assert {item.version for item in swaps.heard} == {"1", "2"}
    assert swaps.late() == []


def run_one_worker(tmp_path: Path, count: int) -> None:
    """Swap on a server of one process."""
    repository = make_repository(tmp_path / "models")
    settings = {"TOLLGATE_MODEL_REPOSITORY": str(repository)}
    server = Server(share_verdicts(tmp_path / "var"), free_port(), settings=settings)
    server.start()
    try:
        check(asyncio.run(swap_under_load(server, server.port, count)), count)
    finally:
        server.stop()


def run_four_workers(tmp_path: Path, database_url: str, count: int) -> None:
    """Swap on a server of four processes that share Redis and PostgreSQL."""
    repository = make_repository(tmp_path / "models")
    with running_redis(tmp_path) as redis, contextlib.ExitStack() as ends:
        settings = {
            "TOLLGATE_REDIS_URL": redis.url,
            "TOLLGATE_DATABASE_URL": database_url,
            "TOLLGATE_MODEL_REPOSITORY": str(repository),
        }
        folder = share_verdicts(tmp_path / "var")
        stack = Stack(folder, port=free_port(), workers=4, settings=ONE_ADDRESS | settings)
        ends.callback(stack.stop)
        stack.start()
        check(asyncio.run(swap_under_load(stack, stack.address, count)), count)


def test_swaps_under_load_fail_nobody(tmp_path: Path) -> None:
    """Twenty on one worker."""
    run_one_worker(tmp_path, 20)


def test_four_workers_swap_together(tmp_path: Path, empty_postgres: str) -> None:
    """No worker answers with the old version after the promotion was answered."""
    run_four_workers(tmp_path, empty_postgres, 20)


@pytest.mark.soak
def test_thousand_swaps_under_load_fail_nobody(tmp_path: Path) -> None:
    """On one worker."""
    run_one_worker(tmp_path, 1000)


@pytest.mark.soak
def test_four_workers_swap_together_a_thousand_times(tmp_path: Path, empty_postgres: str) -> None:
    """On four."""
    run_four_workers(tmp_path, empty_postgres, 1000)
