"""Redis late and not lost: what a worker grants alone meanwhile is counted, and counted once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.limits.limiter import Grant, Outcome
from gateway.limits.policy import Policy
from gateway.limits.redis_limiter import RedisLimiter
from gateway.limits.shares import Share
from tests.redis_faults import until_so
from tests.redis_limiters import BACK_SECONDS, build_limiter, opened
from tests.redis_server import RedisServer, running_redis
from tests.unit.gateway.limits.callers import admitted, attempt, policy

BURST = 20
LIMITS = policy(rate=0.0001, burst=BURST)


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """Run a Redis that the test may hang."""
    with running_redis(tmp_path) as server:
        yield server


def worker_of(server: RedisServer, index: int = 0, *, workers: int = 2) -> RedisLimiter:
    """Return one worker's limiter, which gives no late Redis up."""
    share = Share(workers, index)
    return build_limiter(server.url, share=share, doubt_seconds=BACK_SECONDS)


async def count_admitted(limiter: RedisLimiter, limits: Policy, *, attempts: int) -> int:
    """Ask some times, one after the other."""
    return sum([await admitted(limiter, limits) for _ in range(attempts)])


@contextlib.asynccontextmanager
async def hung(server: RedisServer) -> AsyncIterator[None]:
    """Let Redis answer nothing for the length of a block."""
    server.hang()
    try:
        yield
    finally:
        server.resume()


async def granted_alone(server: RedisServer, limiter: RedisLimiter, limits: Policy) -> list[Grant]:
    """Let a worker that has met the caller once grant two requests while Redis hangs."""
    assert await admitted(limiter, limits)
    async with hung(server):
        grants = [await attempt(limiter, limits) for _ in range(2)]
    await limiter.drain()
    return [grant for grant in grants if grant is not None]


@pytest.mark.parametrize(
    "limits",
    [LIMITS, policy(units=BURST), policy(in_flight=BURST)],
    ids=["rate", "quota", "flight"],
)
async def test_grants_while_redis_is_late_are_known_to_the_others(
    redis_server: RedisServer, limits: Policy
) -> None:
    """Also where the worker that made them is never asked again."""
    async with opened(worker_of(redis_server)) as late, opened(worker_of(redis_server, 1)) as other:
        assert len(await granted_alone(redis_server, late, limits)) == 2
        assert await count_admitted(other, limits, attempts=BURST) == BURST - 3


def test_worker_killed_while_redis_is_late_takes_no_grant_along(redis_server: RedisServer) -> None:
    """What it granted was on its way before it was granted: its loop never runs again."""
    killed, other = worker_of(redis_server), worker_of(redis_server, 1)

    async def grant() -> int:
        await killed.open()
        assert await admitted(killed, LIMITS)
        redis_server.hang()
        return await count_admitted(killed, LIMITS, attempts=3)

    with asyncio.Runner() as runner:
        try:
            assert runner.run(grant()) == 3
            redis_server.resume()
            assert asyncio.run(exhaust(other)) == BURST - 4
        finally:
            redis_server.resume()
            runner.run(killed.close())


async def exhaust(limiter: RedisLimiter) -> int:
    """Ask a worker until its caller's burst is used up."""
    async with opened(limiter):
        return await count_admitted(limiter, LIMITS, attempts=BURST)


async def test_grant_of_a_late_redis_is_released_as_its_request_ends(
    redis_server: RedisServer,
) -> None:
    """Before the late answer or after it, and once."""
    limits = policy(units=BURST, in_flight=BURST)
    async with opened(worker_of(redis_server, workers=1)) as limiter:
        assert await admitted(limiter, limits)
        async with hung(redis_server):
            early, late = [await limiter.admit(limits, units=2, billed=True) for _ in range(2)]
            limiter.release(early, Outcome.FAILED)
        await limiter.drain()
        for grant in (early, late, late):
            limiter.release(grant, Outcome.FAILED)
        await limiter.drain()
        grant = await limiter.admit(limits, units=1, billed=True)
        assert grant.standing.month_remaining == BURST - 2
        assert await count_admitted(limiter, limits, attempts=BURST) == BURST - 2


async def test_caller_without_a_share_waits_for_a_late_redis(redis_server: RedisServer) -> None:
    """A limit that cannot be divided is not refused by those who have no part of it."""
    limits = policy(rate=0.0001, burst=6)
    limiter = build_limiter(redis_server.url, share=Share(7), doubt_seconds=BACK_SECONDS)
    async with opened(limiter):
        assert await admitted(limiter, limits)
        redis_server.hang()
        waiting = asyncio.create_task(admitted(limiter, limits))
        await until_so(lambda: limiter.local_decisions == 1)
        redis_server.resume()
        assert await waiting
