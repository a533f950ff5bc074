"""Limiters on a real Redis, on real or on fake clocks."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator

from gateway.limits.local_limiter import LocalLimiter
from gateway.limits.redis_limiter import SCRIPT, WHEN_AWAY, RedisLimiter
from gateway.limits.redis_link import BUDGET_SECONDS, DOUBT_SECONDS, LinkTimes, RedisLink
from gateway.limits.redis_nodes import RedisNodes
from gateway.limits.shares import Share
from tests.unit.gateway.limits.callers import LEASE_SECONDS, Clocks

PATIENT_SECONDS = 5.0  # where the decision is under test, and not the budget
BACK_SECONDS = 20.0
POLL_SECONDS = 0.005


def build_limiter(
    url: str,
    *,
    clocks: Clocks | None = None,
    redis_clocks: Clocks | None = None,
    prefix: str = "test",
    budget_seconds: float = BUDGET_SECONDS,
    doubt_seconds: float = DOUBT_SECONDS,
    share: Share | None = None,
    must_confirm: bool = False,
) -> RedisLimiter:
    """Return a limiter that is not connected yet; Redis has clocks of its own if they are given."""
    told = redis_clocks or clocks
    monotonic_ns = clocks.monotonic_ns if clocks else time.monotonic_ns
    wall_ns = clocks.wall_ns if clocks else time.time_ns
    return RedisLimiter(
        RedisNodes(
            url,
            SCRIPT,
            prefix=prefix,
            when_away=WHEN_AWAY,
            times=LinkTimes(
                budget_seconds=budget_seconds, doubt_seconds=doubt_seconds, retry_seconds=0.02
            ),
        ),
        stand_in=LocalLimiter(
            monotonic_ns=monotonic_ns, wall_ns=wall_ns, lease_seconds=LEASE_SECONDS
        ),
        monotonic_ns=monotonic_ns,
        lease_seconds=LEASE_SECONDS,
        share=share,
        must_confirm=must_confirm,
        prefix=prefix,
        clocks=(lambda: (told.monotonic_us, told.wall_us)) if told else None,
    )


async def until_shared(limiter: RedisLimiter) -> None:
    """Wait until Redis decides again."""
    async with asyncio.timeout(BACK_SECONDS):
        while not limiter.is_shared:  # noqa: ASYNC110 - nothing tells of it but the flag
            await asyncio.sleep(POLL_SECONDS)


async def until_left(limiter: RedisLimiter, link: RedisLink, *, slot: int) -> None:
    """Wait until a slot is asked for elsewhere."""
    async with asyncio.timeout(BACK_SECONDS):
        while limiter._nodes.link_of(slot) is link:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(POLL_SECONDS)


def next_prefix() -> str:
    """Return a prefix that nobody else's keys have."""
    return f"test-{uuid.uuid4().hex}"


class Makers:
    """Make limiters on one Redis and close them when the test ends."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._made: list[RedisLimiter] = []

    async def make(self, clocks: Clocks | None, *, prefix: str | None = None) -> RedisLimiter:
        """Return a limiter with a prefix of its own, unless one is given."""
        limiter = build_limiter(
            self._url,
            clocks=clocks,
            prefix=prefix or next_prefix(),
            budget_seconds=PATIENT_SECONDS,
        )
        await limiter.open()
        assert limiter.is_shared
        self._made.append(limiter)
        return limiter

    async def close(self) -> None:
        """Close all; each must have decided everything in Redis."""
        for limiter in self._made:
            await limiter.close()
        assert [limiter.local_decisions for limiter in self._made] == [0] * len(self._made)


@contextlib.asynccontextmanager
async def makers_on(url: str) -> AsyncIterator[Makers]:
    """Make limiters for the length of a block."""
    makers = Makers(url)
    try:
        yield makers
    finally:
        await makers.close()


@contextlib.asynccontextmanager
async def opened(limiter: RedisLimiter) -> AsyncIterator[RedisLimiter]:
    """Open a limiter for the length of a block."""
    await limiter.open()
    try:
        yield limiter
    finally:
        await limiter.close()
