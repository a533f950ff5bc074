"""Rows of several tenants share batches, and each caller gets its own rows and nobody else's.

Every row carries a number that was given out once, and the model answers it as it came.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import ClassVar

import pytest

from tests.load import Caller, Reply, read_reply
from tests.population import populate
from tests.repositories import identity_model, write_manifest, write_model
from tests.serving import Server, free_port
from tests.unit.inference.onnx_models import lookup_model

CONNECTIONS = 24
ROWS = (1, 2, 3, 5, 8, 13, 40, 130)
"""Rows of one request, in turn; the last are more than a batch holds."""

LOOKED_UP = 10_000
"""Numbers that the model `lookup` answers; it fails on any other."""

QUEUE_ROWS = 4096
_SMALL_BATCHES = "[batching]\nmax_batch_size = 64\nmax_queue_rows = 4096\n"


@dataclass(frozen=True)
class Crowd:
    """A server and callers of several tenants."""

    server: Server
    callers: list[Caller]


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    """Serve a model that answers what it was asked, and one that fails on some values."""
    repository = tmp_path_factory.mktemp("models")
    write_manifest(write_model(repository, "identity", identity_model()), _SMALL_BATCHES)
    write_manifest(write_model(repository, "lookup", lookup_model(LOOKED_UP)), _SMALL_BATCHES)
    settings = {"TOLLGATE_MODEL_REPOSITORY": str(repository)}
    server = Server(tmp_path_factory.mktemp("crowd"), free_port(), settings=settings)
    server.start()
    yield Crowd(server, populate(server, tenants=20, keys_each=1))
    server.stop()


def request_of(caller: Caller, model: str, values: list[int]) -> bytes:
    """Write a prediction request."""
    body = json.dumps({"instances": values}).encode()
    head = (
        f"POST /v1/models/{model}:predict HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {caller.api_key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def predictions_of(reply: Reply) -> list[float]:
    """Read the answer of a request that must have been served."""
    assert reply.status == 200, reply.body
    predictions: list[float] = json.loads(reply.body)["predictions"]
    return predictions


def billed_rows(crowd: Crowd) -> dict[str, int]:
    """Read from the bill how many rows each tenant has used."""
    path = "/v1/usage?group_by=tenant"
    data = crowd.server.call("GET", path, key=crowd.server.demo["billing_key"]).body["data"]
    return {item["tenant"]: item["rows"] for item in data}


async def mix(crowd: Crowd, *, rows: int) -> dict[str, int]:
    """Ask for `rows` rows over many connections; return how many each tenant was answered."""
    numbers = count()
    turns = iter(range(rows))
    answered = dict.fromkeys((caller.tenant_id for caller in crowd.callers), 0)

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", crowd.server.port)
        for turn in turns:
            caller = crowd.callers[turn % len(crowd.callers)]
            values = [next(numbers) for _ in range(ROWS[turn % len(ROWS)])]
            writer.write(request_of(caller, "identity", values))
            assert predictions_of(await read_reply(reader)) == values
            answered[caller.tenant_id] += len(values)
            if sum(answered.values()) >= rows:
                break
        writer.close()

    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    return answered


def check_mix(crowd: Crowd, *, rows: int) -> None:
    """Mix rows and compare answers and bill to the last row."""
    before = billed_rows(crowd)
    answered = asyncio.run(mix(crowd, rows=rows))
    after = billed_rows(crowd)
    assert sum(answered.values()) >= rows
    assert {tenant: after[tenant] - before.get(tenant, 0) for tenant in answered} == answered


def test_no_row_is_misrouted(crowd: Crowd) -> None:
    """A hundred thousand rows of twenty tenants, of unlike sizes, in shared batches."""
    check_mix(crowd, rows=100_000)


@pytest.mark.soak
def test_no_row_is_misrouted_in_a_million(crowd: Crowd) -> None:
    """The same with a million rows."""
    check_mix(crowd, rows=1_000_000)


async def poison(crowd: Crowd, *, requests: int) -> tuple[int, int]:
    """Send good rows, and every fifth request an index that the model fails on."""
    turns = iter(range(requests))
    served, failed = 0, 0

    async def connection() -> None:
        nonlocal served, failed
        reader, writer = await asyncio.open_connection("127.0.0.1", crowd.server.port)
        for turn in turns:
            values = [turn % 4, LOOKED_UP] if turn % 5 == 0 else [turn % 4]
            caller = crowd.callers[turn % len(crowd.callers)]
            writer.write(request_of(caller, "lookup", values))
            reply = await read_reply(reader)
            if turn % 5 == 0:
                failed += reply.status == 400
            else:
                assert predictions_of(reply) == [turn % 4]
                served += 1
        writer.close()

    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    return served, failed


def test_poisonous_request_harms_itself_alone(crowd: Crowd) -> None:
    """Its neighbours in the batch are answered rightly; it fails and is not on the bill."""
    before = sum(billed_rows(crowd).values())
    served, failed = asyncio.run(poison(crowd, requests=1000))
    assert (served, failed) == (800, 200)
    assert sum(billed_rows(crowd).values()) - before == 800


class Strays:
    """What becomes of a mix in which one request of a hundred is poisonous, left, or too large."""

    KINDS: ClassVar = {1: "poisonous", 34: "left", 67: "too large"}

    def __init__(self, crowd: Crowd, *, rows: int) -> None:
        self._crowd = crowd
        self._rows = rows
        self._turns = count()
        self._numbers = count()
        self.answered: Counter[str] = Counter()
        self.left: Counter[str] = Counter()
        self.refused: Counter[tuple[str, int]] = Counter()

    async def run(self) -> None:
        """Ask over many connections until enough rows were answered."""
        await asyncio.gather(*(self._connection() for _ in range(CONNECTIONS)))

    async def _connection(self) -> None:
        address = ("127.0.0.1", self._crowd.server.port)
        reader, writer = await asyncio.open_connection(*address)
        while self.answered.total() < self._rows:
            turn = next(self._turns)
            kind = self.KINDS.get(turn % 100, "")
            caller = self._crowd.callers[turn % len(self._crowd.callers)]
            values = self._values(turn, kind)
            writer.write(request_of(caller, "lookup", values))
            if kind == "left":
                await writer.drain()
                writer.close()
                self.left[caller.tenant_id] += len(values)
                reader, writer = await asyncio.open_connection(*address)
                continue
            self._check(await read_reply(reader), caller, values, kind=kind)
        writer.close()

    def _values(self, turn: int, kind: str) -> list[int]:
        if kind == "too large":
            return [0] * (QUEUE_ROWS + 1)
        values = [next(self._numbers) % LOOKED_UP for _ in range(ROWS[turn % len(ROWS)])]
        return [*values, LOOKED_UP] if kind == "poisonous" else values

    def _check(self, reply: Reply, caller: Caller, values: list[int], *, kind: str) -> None:
        if kind:
            self.refused[kind, reply.status] += 1
            return
        assert predictions_of(reply) == values
        self.answered[caller.tenant_id] += len(values)


def check_strays(crowd: Crowd, *, rows: int) -> None:
    """Mix good requests with others; compare answers and bill to the last row."""
    before = billed_rows(crowd)
    strays = Strays(crowd, rows=rows)
    asyncio.run(strays.run())
    after = billed_rows(crowd)
    assert strays.answered.total() >= rows
    assert set(strays.refused) == {("poisonous", 400), ("too large", 413)}
    for tenant, answered in strays.answered.items():
        billed = after[tenant] - before.get(tenant, 0)
        assert answered <= billed <= answered + strays.left[tenant]


def test_strays_harm_themselves_alone(crowd: Crowd) -> None:
    """Every other request gets its own rows; what failed is not on the bill."""
    check_strays(crowd, rows=20_000)


@pytest.mark.soak
def test_strays_harm_themselves_alone_in_a_million_rows(crowd: Crowd) -> None:
    """The same with a million rows."""
    check_strays(crowd, rows=1_000_000)


async def leave(crowd: Crowd, *, requests: int) -> int:
    """Stay for some answers, and hang up on every third request as soon as it was sent."""
    turns = iter(range(requests))
    served = 0

    async def connection() -> None:
        nonlocal served
        for turn in turns:
            reader, writer = await asyncio.open_connection("127.0.0.1", crowd.server.port)
            values = [turn * 10, turn * 10 + 1]
            caller = crowd.callers[turn % len(crowd.callers)]
            writer.write(request_of(caller, "identity", values))
            await writer.drain()
            if turn % 3:
                assert predictions_of(await read_reply(reader)) == values
                served += 1
            writer.close()
            await writer.wait_closed()

    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    return served


def test_callers_who_leave_harm_nobody(crowd: Crowd) -> None:
    """Who stays gets the own rows; who left is billed at most for what ran, never twice."""
    before = sum(billed_rows(crowd).values())
    served = asyncio.run(leave(crowd, requests=900))
    billed = sum(billed_rows(crowd).values()) - before
    assert served == 600
    assert 2 * served <= billed <= 2 * 900
