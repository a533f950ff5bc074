"""The bill, and what is on nobody's bill, are all that the engine worked, to the microsecond.

Asked over the real door by callers who are answered, who ask what it fails on, and who leave.
"""

import asyncio
import contextlib
import json
import re
import sqlite3
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.load import Caller, read_reply
from tests.population import make_caller, make_plan, make_tenant
from tests.repositories import write_manifest, write_model
from tests.serving import Server, free_port
from tests.unit.inference.onnx_models import lookup_model

LOOKED_UP = 10_000
"""Numbers that the model answers; it fails on any other."""

REQUESTS = 60
"""Of each connection."""

SECONDS = 20.0
"""For the metrics to follow the last answer, which they do twice a second."""

_COUNTED = re.compile(r'tollgate_(\w+)_microseconds_total\{[^}]*"lookup"[^}]*\} (\S+)')


@pytest.fixture
def metrics_at() -> str:
    """Choose where the metrics are."""
    return f"127.0.0.1:{free_port()}"


@pytest.fixture
def server(tmp_path: Path, metrics_at: str) -> Iterator[Server]:
    """Serve a model that fails on some values, in runs of few rows and always in a thread."""
    repository = tmp_path / "models"
    folder = write_model(repository, "lookup", lookup_model(LOOKED_UP))
    write_manifest(folder, "[batching]\nmax_batch_size = 16\n")
    settings = {
        "TOLLGATE_MODEL_REPOSITORY": str(repository),
        "TOLLGATE_METRICS_LISTEN": metrics_at,
        "TOLLGATE_INLINE_RUN_MICROSECONDS": "0",
    }
    running = Server(tmp_path, free_port(), settings)
    running.start()
    yield running
    running.stop()


def callers_of(server: Server) -> list[Caller]:
    """Make two tenants with a key each, and a test key."""
    plan_id = make_plan(server)
    tenants = [make_tenant(server, plan_id, name=f"tenant {number}") for number in range(2)]
    keys = [make_caller(server, tenant) for tenant in tenants]
    return [*keys, make_caller(server, tenants[0], test=True)]


def request_of(caller: Caller, values: list[int]) -> bytes:
    """Write a prediction request."""
    body = json.dumps({"instances": values}).encode()
    head = (
        f"POST /v1/models/lookup:predict HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {caller.api_key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def ask(server: Server, caller: Caller, turn: int) -> int:
    """Send requests of several sizes, some poisoned, and leave before some answers."""
    answered = 0
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for number in range(REQUESTS):
        values = list(range(1 + (number * 7 + turn) % 40))
        if number % 10 == turn % 10:
            values[-1] = LOOKED_UP + 1
        writer.write(request_of(caller, values))
        if number % 15 == turn % 15:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            continue
        answered += (await read_reply(reader)).status == 200
    writer.close()
    return answered


async def ask_all(server: Server, callers: list[Caller]) -> int:
    """Send everything, and count the answers."""
    turns = [ask(server, callers[turn % len(callers)], turn) for turn in range(12)]
    return sum(await asyncio.gather(*turns))


def counted(address: str) -> dict[str, int]:
    """Read what the engine's account says, once it says that nothing is open."""
    ends_at = time.monotonic() + SECONDS
    while time.monotonic() < ends_at:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
            found = _COUNTED.findall(answer.read().decode())
        account = {name: int(float(value)) for name, value in found}
        if account["engine_busy"] == account["billed_compute"] + account["unbilled_compute"]:
            return account
        time.sleep(0.1)
    raise AssertionError(f"something stayed open: {account}")


def on_the_bill(data_dir: Path) -> tuple[int, int]:
    """Count the requests in the ledger, and the microseconds."""
    with contextlib.closing(sqlite3.connect(data_dir / "tollgate.db")) as connection:
        found = connection.execute(
            "SELECT COUNT(*), SUM(compute_us) FROM usage_records WHERE model = 'lookup'"
        ).fetchone()
    return int(found[0]), int(found[1])


def test_bill_and_unbilled_are_the_work_of_the_engine(server: Server, metrics_at: str) -> None:
    """Nothing is lost and nothing is made, whoever fails or leaves."""
    answered = asyncio.run(ask_all(server, callers_of(server)))
    account = counted(metrics_at)
    server.stop()
    requests, compute_us = on_the_bill(server.data_dir)
    assert requests >= answered > 0
    assert compute_us == account["billed_compute"]
    assert compute_us + account["unbilled_compute"] == account["engine_busy"]
    assert account["unbilled_compute"] > 0
