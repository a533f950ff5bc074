"""Ten times the callers that a model can serve: refused at once, or served and on the bill.

A model that takes milliseconds is asked ten times as often as it can answer, by ten times as many
callers as its queue holds. What it measures is logged (`--log-cli-level=info`) and not asserted,
since it is the machine's as much as ours; what is counted is asserted.
"""

import asyncio
import itertools
import json
import logging
import math
import statistics
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import pytest

from benchmarks.heavy_model import INPUT_WIDTH, NAME, write_heavy_repository
from benchmarks.processes import resident_bytes
from tests.load import Caller, Reply, prediction_request, read_reply
from tests.population import populate
from tests.serving import Server, free_port

ROWS = 24
"""Rows of one request, which is one run of the model."""

QUEUED = 24
"""Requests that may wait."""

CROWD = 10 * QUEUED
FLOOD = 50
ROUNDS = 3
REQUESTS = 3000
"""Requests of one overload; most of them are refused."""

EXAMPLE: dict[str, object] = {"instances": [[0.5] * INPUT_WIDTH]}
REFUSALS = {"queue_full"}

logger = logging.getLogger(__name__)


@dataclass
class Crowd:
    """What the callers of one load saw."""

    seconds: float = 0.0
    served: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    request_ids: set[str] = field(default_factory=set)
    codes: Counter[str] = field(default_factory=Counter)
    without_retry_after: int = 0

    def note(self, reply: Reply, seconds: float) -> None:
        """Write down one answer."""
        if reply.status == 200:
            self.served.append(seconds)
            self.request_ids.add(reply.headers["x-request-id"])
            return
        self.refused.append(seconds)
        self.codes[json.loads(reply.body)["code"]] += 1
        self.without_retry_after += int(reply.headers.get("retry-after", "0")) < 1


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Run a server with one model that is slow, and queues few rows."""
    repository = tmp_path / "models"
    write_heavy_repository(repository, max_batch_size=ROWS)
    with (repository / NAME / "model.toml").open("a") as manifest:
        manifest.write(f"max_queue_rows = {QUEUED * ROWS}\n")
    settings = {"TOLLGATE_MODEL_REPOSITORY": str(repository)}
    running = Server(tmp_path, free_port(), settings)
    running.start()
    yield running
    running.stop()


async def ask(
    server: Server,
    callers: list[Caller],
    *,
    connections: int,
    requests: int,
    per_second: float = math.inf,
) -> Crowd:
    """Send a number of requests: as soon as the last one is answered, or at a steady rate.

    At a steady rate the time of an answer is counted from when the request was due.
    """
    crowd, numbers = Crowd(), iter(range(requests))
    wanted = [_heavy(prediction_request(caller, EXAMPLE, rows=ROWS)) for caller in callers]

    async def connection(request: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for number in numbers:
            due = max(began + number / per_second, perf_counter() if per_second == math.inf else 0)
            await asyncio.sleep(due - perf_counter())
            writer.write(request)
            crowd.note(await read_reply(reader), perf_counter() - due)
        writer.close()

    began = perf_counter()
    turns = itertools.islice(itertools.cycle(wanted), connections)
    await asyncio.gather(*(connection(request) for request in turns))
    crowd.seconds = perf_counter() - began
    return crowd


def _heavy(request: bytes) -> bytes:
    return request.replace(b"/v1/models/housing", f"/v1/models/{NAME}".encode())


def _report(name: str, crowd: Crowd, *, resident: int) -> None:
    def quantiles(seconds: list[float]) -> str:
        if len(seconds) < 2:
            return "-"
        cuts = statistics.quantiles(seconds, n=100)
        return f"p50 {cuts[49] * 1e3:.1f} ms, p99 {cuts[98] * 1e3:.1f} ms"

    logger.info(
        "%s: served %.0f/s (%s), refused %.0f/s (%s), %.0f MiB",
        name,
        len(crowd.served) / crowd.seconds,
        quantiles(crowd.served),
        len(crowd.refused) / crowd.seconds,
        quantiles(crowd.refused),
        resident / 2**20,
    )


@pytest.mark.soak
def test_overload_is_refused_with_advice_and_the_rest_is_billed(server: Server) -> None:
    """Only 200 and refusals that say when to come back, and one row of the bill for each 200."""
    callers = populate(server, tenants=8, keys_each=1)
    assert server.process is not None
    pids, request_ids = (server.process.pid,), set[str]()
    for number in range(ROUNDS):
        peak = asyncio.run(ask(server, callers, connections=8, requests=REQUESTS // 10))
        _report(f"round {number + 1}, peak", peak, resident=resident_bytes(pids))
        assert not peak.refused
        rate = 10 * len(peak.served) / peak.seconds
        crowd = asyncio.run(
            ask(server, callers, connections=CROWD, requests=REQUESTS, per_second=rate)
        )
        _report(f"round {number + 1}, ten times", crowd, resident=resident_bytes(pids))
        assert len(crowd.served) + len(crowd.refused) == REQUESTS
        assert crowd.served
        assert set(crowd.codes) <= REFUSALS
        assert crowd.without_retry_after == 0
        request_ids |= peak.request_ids | crowd.request_ids
    server.stop()
    server.start()
    answer = server.call("GET", "/v1/usage", key=server.demo["billing_key"])
    assert sum(row["requests"] for row in answer.body["data"]) == len(request_ids)


@pytest.mark.soak
def test_flood_of_one_tenant_refuses_and_loses_nothing_of_another(server: Server) -> None:
    """A tenant with fifty times the connections of another: the other one is always served.

    What it waits is logged beside what it waits alone.
    """
    flooding, quiet = populate(server, tenants=2, keys_each=1)
    assert server.process is not None
    pids = (server.process.pid,)

    async def both() -> tuple[Crowd, Crowd]:
        return await asyncio.gather(
            ask(server, [flooding], connections=FLOOD, requests=REQUESTS // 2),
            ask(server, [quiet], connections=1, requests=REQUESTS // 30),
        )

    for number in range(ROUNDS):
        idle = asyncio.run(ask(server, [quiet], connections=1, requests=REQUESTS // 30))
        _report(f"round {number + 1}, idle", idle, resident=resident_bytes(pids))
        flood, beside = asyncio.run(both())
        _report(f"round {number + 1}, the flood", flood, resident=resident_bytes(pids))
        _report(f"round {number + 1}, beside it", beside, resident=resident_bytes(pids))
        assert not beside.refused
        assert set(flood.codes) <= REFUSALS
