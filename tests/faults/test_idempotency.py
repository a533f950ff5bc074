"""Retries with an idempotency key: one row and one run for each, whoever leaves or is killed."""

import asyncio
import contextlib
import json
import random
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.ledgers import ledger_ids
from tests.load import Caller, Reply, open_streams, read_reply
from tests.population import populate
from tests.redis_server import running_redis
from tests.serving import free_port
from tests.stack import Stack, running_stack

SEED = 20261129
RETRIES_EACH = 10
"""Of each request: half of them leave before their answer, half come at the same time."""

KEYS_AT_ONCE = 16
MOST_TRIES = 600
PAUSE_SECONDS = 0.05
LOST_WITHIN_SECONDS = 0.02
RUN_ROWS = "tollgate_run_rows_sum"


@dataclass
class Customer:
    """Somebody who sends each request many times, and notes every answer."""

    stack: Stack
    caller: Caller
    moments: random.Random
    bodies: dict[int, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    billed_as: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    """The ids that answers were given under, or were told to be replays of."""

    attempts: int = 0
    replays: int = 0
    refusals: set[str] = field(default_factory=set)

    async def insist(self, number: int) -> None:
        """Lose some answers to a request, then ask for it from several sides until all have it."""
        for _ in range(RETRIES_EACH // 2):
            await self._lose(number)
        await asyncio.gather(*(self._ask(number) for _ in range(RETRIES_EACH // 2)))

    async def _lose(self, number: int) -> None:
        """Send a request and hang up, perhaps before it is read, perhaps when it is answered."""
        self.attempts += 1
        try:
            _, writer = await open_streams(self.stack.address)
        except OSError:
            return
        try:
            writer.write(self._request(number))
            await writer.drain()
            await asyncio.sleep(self.moments.uniform(0.0, LOST_WITHIN_SECONDS))
        except OSError:
            pass
        finally:
            writer.transport.abort()

    async def _ask(self, number: int) -> None:
        """Ask until there is an answer."""
        for _ in range(MOST_TRIES):
            self.attempts += 1
            reply = await self._send(number)
            if reply is not None and reply.status == 200:
                self._note(number, reply)
                return
            if reply is not None:
                self.refusals.add(str(json.loads(reply.body)["code"]))
            await asyncio.sleep(PAUSE_SECONDS)
        raise AssertionError(f"request {number} is not answered: {self.refusals}")

    async def _send(self, number: int) -> Reply | None:
        """Send a request on a connection of its own; None if that broke."""
        try:
            reader, writer = await open_streams(self.stack.address)
        except OSError:
            return None
        try:
            writer.write(self._request(number))
            return await read_reply(reader)
        except (OSError, asyncio.IncompleteReadError):
            return None
        finally:
            writer.close()

    def _note(self, number: int, reply: Reply) -> None:
        original = reply.headers.get("tollgate-original-request-id")
        self.bodies[number].add(reply.body)
        self.billed_as[number].add(original or reply.headers["x-request-id"])
        self.replays += original is not None

    def _request(self, number: int) -> bytes:
        """Write a request whose answer is like no other's."""
        example: dict[str, Any] = self.stack.demo["example"]["instances"][0]
        body = json.dumps({"instances": [example | {"lotsize": 2000 + number}]}).encode()
        head = (
            "POST /v1/models/housing:predict HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Bearer {self.caller.api_key}\r\nIdempotency-Key: order-{number}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


async def insist_on_all(customer: Customer, requests: int, *, kills: int) -> None:
    """Send all requests, several at a time, and kill a worker now and then."""
    numbers = iter(range(requests))
    done = asyncio.Event()

    async def lane() -> None:
        for number in numbers:
            await customer.insist(number)

    async def kill_workers() -> None:
        began, planned = customer.attempts, requests * RETRIES_EACH
        for share in range(1, kills + 1):
            moment = began + share * planned // (kills + 1)
            while customer.attempts < moment and not done.is_set():  # noqa: ASYNC110 - a count
                await asyncio.sleep(PAUSE_SECONDS)
            with contextlib.suppress(ProcessLookupError):
                pids = customer.stack.worker_pids()
                customer.stack.kill_worker(customer.moments.choice(pids))

    killing = asyncio.create_task(kill_workers())
    await asyncio.gather(*(lane() for _ in range(KEYS_AT_ONCE)))
    done.set()
    await killing


def check(customer: Customer, requests: int) -> None:
    """Compare what the customer saw with the ledger."""
    stack = customer.stack
    ids = {number: next(iter(seen)) for number, seen in customer.billed_as.items()}
    assert sorted(ids) == list(range(requests))
    assert {len(seen) for seen in customer.billed_as.values()} == {1}
    assert {len(seen) for seen in customer.bodies.values()} == {1}
    stack.wait_until(lambda: set(ids.values()) <= set(ledger_ids(stack)), "all is delivered")
    assert stack.stop() == 0
    assert ledger_ids(stack) == sorted(ids.values())


def rows_run(address: str) -> float:
    """Read how many rows the models of all workers were run with."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(f"{RUN_ROWS}{{"))


@pytest.fixture
def metrics() -> str:
    """Say where the metrics are read."""
    return f"127.0.0.1:{free_port()}"


@pytest.fixture
def customer(tmp_path: Path, metrics: str) -> Iterator[Customer]:
    """Run three workers, and have somebody with a key."""
    with (
        running_redis(tmp_path) as redis,
        running_stack(tmp_path, workers=3, redis_url=redis.url, metrics_listen=metrics) as stack,
    ):
        (caller,) = populate(stack, tenants=1, keys_each=1)
        yield Customer(stack, caller, random.Random(SEED))  # noqa: S311 - moments, not secrets


def insist(customer: Customer, metrics: str, *, requests: int, kills: int) -> None:
    """Send requests without and with kills in between; say what was seen.

    What was counted outlives a worker. A run that died with its worker before its record was on
    disk is made again, and was nobody's: of those there are no more than requests at a time.
    """
    warmed = rows_run(metrics)
    asyncio.run(insist_on_all(customer, requests, kills=0))
    assert rows_run(metrics) - warmed == requests
    asyncio.run(insist_on_all(customer, 2 * requests, kills=kills))
    again = rows_run(metrics) - warmed - 2 * requests
    assert 0 <= again <= kills * KEYS_AT_ONCE
    print(f"{customer.attempts} attempts, {customer.replays} replays, {customer.refusals}")  # noqa: T201
    check(customer, 2 * requests)


def test_lost_answers_and_duplicates_cost_once(customer: Customer, metrics: str) -> None:
    """One run and one row for each request, with a worker killed in between."""
    insist(customer, metrics, requests=20, kills=1)


@pytest.mark.soak
def test_ten_thousand_retries_cost_once(customer: Customer, metrics: str) -> None:
    """The same with 10,000 retries of 668 requests and ten kills."""
    insist(customer, metrics, requests=334, kills=10)
