"""Keys end while they are used without a pause: no request that starts later is accepted.

Through the workers of one server, and on another server that shares Redis and PostgreSQL alone.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import pytest

from tests.load import Caller, prediction_request, read_reply
from tests.population import make_caller, make_plan, make_tenant
from tests.redis_server import running_redis
from tests.serving import ONE_ADDRESS, Server, free_port
from tests.stack import Stack

LANES = 8
"""Keys that are in use at the same time, each on two connections of its own."""

SECRET = "the-secret-that-two-servers-of-a-test-share"


@dataclass
class Life:
    """What the clients saw of one key, on their own clock."""

    revoked_at: float = float("inf")
    accepted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    is_in_use: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def accepted_too_late(self) -> list[float]:
        """List the starts of accepted requests that began after the revocation was answered."""
        return [started for started in self.accepted if started > self.revoked_at]


async def call_until_refused(port: int, request: bytes, life: Life) -> None:
    """Send predictions one after the other until one is refused after the revocation."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while not any(started > life.revoked_at for started in life.refused):
        started = perf_counter()
        writer.write(request)
        reply = await read_reply(reader)
        assert reply.status in (200, 401)
        (life.accepted if reply.status == 200 else life.refused).append(started)
        if len(life.accepted) > 2:
            life.is_in_use.set()
        assert len(life.accepted_too_late) < 100, "the key goes on and on"
    writer.close()


async def revoke(server: Server, caller: Caller, life: Life) -> None:
    """Revoke a key once it has been used, and note when the answer was there."""
    head = (
        f"DELETE /v1/tenants/{caller.tenant_id}/keys/{caller.key_id} HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {server.demo['admin_key']}\r\nConnection: close\r\n\r\n"
    )
    await life.is_in_use.wait()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(head.encode())
    status = await reader.readline()
    life.revoked_at = perf_counter()
    assert b" 204 " in status
    writer.close()


async def end_of(server: Server, other: Server, caller: Caller) -> Life:
    """Use a key on two connections, and revoke it meanwhile."""
    life = Life()
    request = prediction_request(caller, server.demo["example"])
    await asyncio.gather(
        call_until_refused(server.port, request, life),
        call_until_refused(other.port, request, life),
        revoke(server, caller, life),
    )
    return life


async def end_all(server: Server, other: Server, callers: list[Caller]) -> list[Life]:
    """End every key, several at a time."""
    remaining = iter(callers)

    async def lane() -> list[Life]:
        return [await end_of(server, other, caller) for caller in remaining]

    return [
        life for lives in await asyncio.gather(*(lane() for _ in range(LANES))) for life in lives
    ]


def make_callers(server: Server, keys: int) -> list[Caller]:
    """Make so many keys of one tenant."""
    tenant_id = make_tenant(server, make_plan(server))
    return [make_caller(server, tenant_id) for _ in range(keys)]


def revoke_under_load(
    server: Server, callers: list[Caller], *, other: Server | None = None
) -> None:
    """Revoke keys that are in use, on another server too, and check every one of them."""
    lives = asyncio.run(end_all(server, other or server, callers))
    assert len(lives) == len(callers)
    assert all(life.accepted and life.refused for life in lives)
    assert [life.accepted_too_late for life in lives if life.accepted_too_late] == []


def test_no_acceptance_starts_after_a_revocation_was_answered(server: Server) -> None:
    """Two hundred revocations under load, by the clients' own clock."""
    revoke_under_load(server, make_callers(server, 200))


def revoke_on_two_servers(folder: Path, database_url: str, keys: int, *, has_redis: bool) -> None:
    """Revoke on one server keys that are in use on another one, which has a folder of its own."""
    with running_redis(folder) as redis, contextlib.ExitStack() as ends:
        settings = ONE_ADDRESS | {
            "TOLLGATE_REDIS_URL": redis.url,
            "TOLLGATE_DATABASE_URL": database_url,
            "TOLLGATE_REPLICAS": "2",
            "TOLLGATE_KEY_PEPPER": SECRET,
            "TOLLGATE_SEALING_KEY": SECRET[::-1],
        }
        stacks: list[Stack] = []
        for name in ("here", "there"):
            (folder / name).mkdir()
            stack = Stack(folder / name, port=free_port(), workers=2, settings=settings)
            stack.keys = stacks[0].keys if stacks else {}
            ends.callback(stack.stop)
            stack.start()
            stacks.append(stack)
        here, there = stacks
        callers = make_callers(here, keys)
        if not has_redis:
            redis.kill()
        revoke_under_load(here, callers, other=there)


REDIS = pytest.mark.parametrize("has_redis", [True, False], ids=["with Redis", "Redis stopped"])


@REDIS
def test_no_acceptance_starts_on_another_server(
    tmp_path: Path, empty_postgres: str, *, has_redis: bool
) -> None:
    """Two servers share Redis and PostgreSQL alone; one revokes what the other one serves."""
    revoke_on_two_servers(tmp_path, empty_postgres, 32, has_redis=has_redis)


@pytest.mark.soak
@REDIS
def test_no_acceptance_starts_on_another_server_after_ten_thousand(
    tmp_path: Path, empty_postgres: str, *, has_redis: bool
) -> None:
    """The same, ten thousand times."""
    revoke_on_two_servers(tmp_path, empty_postgres, 10_000, has_redis=has_redis)


@pytest.mark.soak
@REDIS
def test_no_acceptance_starts_after_ten_thousand_revocations(
    tmp_path: Path, empty_postgres: str, *, has_redis: bool
) -> None:
    """The same, ten thousand times through four workers."""
    with running_redis(tmp_path) as redis, contextlib.ExitStack() as ends:
        urls = {"TOLLGATE_REDIS_URL": redis.url, "TOLLGATE_DATABASE_URL": empty_postgres}
        stack = Stack(tmp_path, port=free_port(), workers=4, settings=ONE_ADDRESS | urls)
        ends.callback(stack.stop)
        stack.start()
        callers = make_callers(stack, 10_000)
        if not has_redis:
            redis.kill()
        revoke_under_load(stack, callers)
