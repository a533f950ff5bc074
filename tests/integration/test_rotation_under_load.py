"""Keys get new secrets while they are used without a pause: none that is good is ever refused.

Every request is judged by the client's own clock, which is the server's: a secret must be accepted
until its rotation was asked for and the overlap has passed since, and must be refused once the
overlap has passed since the answer. In between either is right.
"""

import asyncio
import contextlib
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path
from time import perf_counter

import pytest

from tests.load import Caller, prediction_request, read_reply
from tests.population import make_caller, make_plan, make_tenant
from tests.redis_server import running_redis
from tests.serving import ONE_ADDRESS, Server, free_port
from tests.stack import Stack

LANES = 8
"""Keys that are in use at the same time, each secret on a connection of its own."""

OVERLAPS = (0, 0, 1)
"""Seconds of overlap, in turns."""


@dataclass
class Secret:
    """One secret of a key: when it has to work, when it must not, and what became of it."""

    request: bytes
    is_good_until: float = float("inf")
    is_over_at: float = float("inf")
    seen: Counter[str] = field(default_factory=Counter)
    is_used: asyncio.Event = field(default_factory=asyncio.Event)
    is_refused: asyncio.Event = field(default_factory=asyncio.Event)

    def judge(self, status: int, *, started: float, ended: float) -> None:
        """Note how a request went, by when it began and ended."""
        assert status in (200, 401), status
        if status == 200:
            self.seen["accepted too late" if started > self.is_over_at else "accepted"] += 1
            self.is_used.set()
        else:
            self.seen["refused too early" if ended < self.is_good_until else "refused"] += 1
            if started > self.is_over_at:
                self.is_refused.set()


async def use(port: int, secret: Secret) -> None:
    """Send predictions one after the other until the secret is refused for good."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while not secret.is_refused.is_set():
        started = perf_counter()
        writer.write(secret.request)
        reply = await read_reply(reader)
        secret.judge(reply.status, started=started, ended=perf_counter())
        assert not secret.seen["accepted too late"] > 100, "the secret goes on and on"
    writer.close()


async def rotate(server: Server, caller: Caller, secret: Secret, *, overlap_seconds: int) -> str:
    """Ask for a new secret, and note from when on the one before is over."""
    body = json.dumps({"overlap_seconds": overlap_seconds}).encode()
    head = (
        f"POST /v1/tenants/{caller.tenant_id}/keys/{caller.key_id}/rotate HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {server.demo['admin_key']}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    secret.is_good_until = perf_counter() + overlap_seconds
    writer.write(head.encode() + body)
    reply = await read_reply(reader)
    secret.is_over_at = perf_counter() + overlap_seconds
    writer.close()
    assert reply.status == 201
    return str(json.loads(reply.body)["api_key"])


async def rotate_again_and_again(
    server: Server, caller: Caller, *, rotations: int
) -> list[Counter[str]]:
    """Rotate one key while each of its secrets is in use, and say what became of each."""
    example = server.demo["example"]
    secrets = [Secret(prediction_request(caller, example))]
    async with asyncio.TaskGroup() as users:
        users.create_task(use(server.port, secrets[0]))
        for _, overlap_seconds in zip(range(rotations), cycle(OVERLAPS), strict=False):
            old = secrets[-1]
            await old.is_used.wait()
            api_key = await rotate(server, caller, old, overlap_seconds=overlap_seconds)
            fresh = Secret(prediction_request(replace(caller, api_key=api_key), example))
            users.create_task(use(server.port, fresh))
            secrets.append(fresh)
            await old.is_refused.wait()
        await secrets[-1].is_used.wait()
        await rotate(server, caller, secrets[-1], overlap_seconds=0)
    return [secret.seen for secret in secrets]


def rotate_under_load(server: Server, *, rotations_each: int) -> None:
    """Rotate keys that are in use and judge every request."""
    tenant_id = make_tenant(server, make_plan(server))
    callers = [make_caller(server, tenant_id) for _ in range(LANES)]

    async def rotate_all() -> list[list[Counter[str]]]:
        lanes = (
            rotate_again_and_again(server, caller, rotations=rotations_each) for caller in callers
        )
        return await asyncio.gather(*lanes)

    seen = [secret for lane in asyncio.run(rotate_all()) for secret in lane]
    total: Counter[str] = sum(seen, Counter())
    assert len(seen) == LANES * (rotations_each + 1)
    assert all(secret["accepted"] and secret["refused"] for secret in seen)
    assert (total["refused too early"], total["accepted too late"]) == (0, 0), total


def test_rotation_refuses_nothing_good_and_accepts_nothing_expired(server: Server) -> None:
    """Forty-eight rotations of eight keys that are in use."""
    rotate_under_load(server, rotations_each=6)


@pytest.mark.soak
def test_thousand_rotations_refuse_nothing_good_and_accept_nothing_expired(tmp_path: Path) -> None:
    """The same through four workers with Redis, a thousand times."""
    with running_redis(tmp_path) as redis, contextlib.ExitStack() as ends:
        settings = ONE_ADDRESS | {"TOLLGATE_REDIS_URL": redis.url}
        stack = Stack(tmp_path, port=free_port(), workers=4, settings=settings)
        ends.callback(stack.stop)
        stack.start()
        rotate_under_load(stack, rotations_each=125)
