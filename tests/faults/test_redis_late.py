"""Redis late and not lost: what a worker grants alone meanwhile is counted, and counted once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.limits.limiter import Grant, Outcome
from gateway.limits.policy import Policy
from gateway.limits.redis_keys import leases_key, tenant_prefix
from gateway.limits.redis_limiter import RedisLimiter
from gateway.limits.shares import Share
from tests.redis_faults import until_so
from tests.redis_limiters import (
    BACK_SECONDS,
    build_limiter,
    next_prefix,
    opened,
    until_shared,
)
from tests.redis_server import RedisServer, running_redis
from tests.unit.gateway.limits.callers import SECOND_US, Clocks, admitted, attempt, policy

BURST = 20
LIMITS = policy(rate=0.0001, burst=BURST)
TURN_SECONDS = 0.03  # a caller who need not wait has been answered by then, mostly


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Run a Redis that hangs at times."""
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def prefix() -> str:
    """Return a prefix of the test's own."""
    return next_prefix()


def worker_of(
    server: RedisServer, prefix: str, *, index: int | None = 0, workers: int = 2
) -> RedisLimiter:
    """Return one worker's limiter, which gives no late Redis up."""
    return build_limiter(
        server.url, prefix=prefix, share=Share(workers, index), doubt_seconds=BACK_SECONDS
    )


@contextlib.asynccontextmanager
async def hung(server: RedisServer) -> AsyncIterator[None]:
    """Let Redis answer nothing for the length of a block."""
    server.hang()
    try:
        yield
    finally:
        server.resume()


async def count_admitted(limiter: RedisLimiter, limits: Policy, *, attempts: int) -> int:
    """Ask some times, one after the other."""
    return sum([await admitted(limiter, limits) for _ in range(attempts)])


async def exhaust(limiter: RedisLimiter) -> int:
    """Ask a worker until its caller's burst is used up."""
    async with opened(limiter):
        return await count_admitted(limiter, LIMITS, attempts=BURST)


@pytest.mark.parametrize(
    "limits",
    [LIMITS, policy(units=BURST), policy(in_flight=BURST)],
    ids=["rate", "quota", "in flight"],
)
async def test_grants_while_redis_is_late_are_known_to_the_others(
    redis_server: RedisServer, prefix: str, limits: Policy
) -> None:
    """Also where the worker that made them is never asked again."""
    late, other = worker_of(redis_server, prefix), worker_of(redis_server, prefix, index=1)
    async with opened(late), opened(other):
        assert await admitted(late, limits)
        async with hung(redis_server):
            assert await count_admitted(late, limits, attempts=2) == 2
        await late.drain()
        assert await count_admitted(other, limits, attempts=BURST) == BURST - 3


def test_worker_killed_while_redis_is_late_takes_no_grant_along(
    redis_server: RedisServer, prefix: str
) -> None:
    """What it granted was on its way before it was granted: its loop never runs again."""
    killed, other = worker_of(redis_server, prefix), worker_of(redis_server, prefix, index=1)

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


async def test_caller_without_a_share_waits_for_a_late_redis(
    redis_server: RedisServer, prefix: str
) -> None:
    """A limit that cannot be divided is not refused by those who have no part of it."""
    limits = policy(rate=0.0001, burst=6)
    async with opened(worker_of(redis_server, prefix, index=None, workers=7)) as limiter:
        assert await admitted(limiter, limits)
        async with hung(redis_server):
            waiting = asyncio.create_task(admitted(limiter, limits))
            await until_so(lambda: limiter.local_decisions == 1)
        assert await waiting


async def test_worker_waits_for_a_late_redis_before_it_begins(
    redis_server: RedisServer, prefix: str
) -> None:
    """Its shares are of limits that others may have used up long ago."""
    limiter = build_limiter(
        redis_server.url, prefix=prefix, budget_seconds=0, doubt_seconds=BACK_SECONDS
    )
    async with opened(limiter):
        assert limiter.is_shared


async def test_calls_given_up_decide_nothing(redis_server: RedisServer, prefix: str) -> None:
    """Also those sent while an earlier one was in doubt: Redis drops them all with that one."""
    limiter = build_limiter(redis_server.url, prefix=prefix, doubt_seconds=0.1)
    async with opened(limiter):
        assert await admitted(limiter, LIMITS)
        async with hung(redis_server):
            assert await count_admitted(limiter, LIMITS, attempts=3) == 3
            await until_so(lambda: not limiter.is_shared)
        await until_shared(limiter)
        grant = await limiter.admit(LIMITS, units=1, billed=True)
    assert grant.standing.burst_remaining == BURST - 5


async def test_old_knowledge_is_worth_what_others_cannot_have_used(
    redis_server: RedisServer, prefix: str
) -> None:
    """A caller of whom Redis said nothing for some seconds waits, unless its burst is large."""
    clocks, large = Clocks(), policy(rate=1e6, burst=1_000_000, key="key_b")
    limiter = build_limiter(
        redis_server.url,
        clocks=clocks,
        prefix=prefix,
        share=Share(2, 0),
        doubt_seconds=BACK_SECONDS,
    )
    async with opened(limiter):
        assert await admitted(limiter, LIMITS)
        assert await admitted(limiter, large)
        clocks.advance(8 * SECOND_US)
        async with hung(redis_server):
            waiting = asyncio.create_task(admitted(limiter, LIMITS))
            assert await admitted(limiter, large)
            assert not waiting.done()
        assert await waiting


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(st.sampled_from(["ask", "ask", "fail", "hang", "resume"]), max_size=25))
async def test_no_order_of_events_loses_a_grant_or_counts_it_twice(
    redis_server: RedisServer, steps: list[str]
) -> None:
    """Rate, units and places in flight are those of the requests, whoever granted them."""
    prefix, asked, failed = next_prefix(), [], 0
    limits = policy(rate=0.0001, burst=8, units=1000, in_flight=1000)
    grants: list[Grant] = []

    async def ask() -> None:
        if grant := await attempt(limiter, limits):
            grants.append(grant)

    async with opened(worker_of(redis_server, prefix, workers=1)) as limiter:
        for step in steps:
            if step == "ask":
                asked.append(asyncio.create_task(ask()))
                await asyncio.wait(asked[-1:], timeout=TURN_SECONDS)
            elif step == "hang":
                redis_server.hang()
            elif step == "resume":
                redis_server.resume()
            elif failed < len(grants):
                limiter.release(grants[failed], Outcome.FAILED)
                failed += 1
        redis_server.resume()
        await asyncio.gather(*asked)
        await limiter.drain()
        assert len(grants) == min(8, len(asked))
        leases = leases_key(tenant_prefix(prefix, "ten_a"))
        assert redis_server.ask("ZCARD", leases) == len(grants) - failed
        used = 1000 - (await limiter.admit(policy(units=1000), units=0, billed=True)).standing[2]
        assert used == len(grants) - failed
