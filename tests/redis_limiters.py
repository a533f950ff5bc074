"""Limiters on a real Redis, on real or on fake clocks."""

import asyncio
import time

from gateway.limits.local_limiter import LocalLimiter
from gateway.limits.redis_limiter import SCRIPT, WHEN_AWAY, RedisLimiter
from gateway.limits.redis_link import BUDGET_SECONDS, LinkTimes
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
    prefix: str = "test",
    budget_seconds: float = BUDGET_SECONDS,
    share: Share | None = None,
    must_confirm: bool = False,
) -> RedisLimiter:
    """Return a limiter that is not connected yet."""
    monotonic_ns = clocks.monotonic_ns if clocks else time.monotonic_ns
    wall_ns = clocks.wall_ns if clocks else time.time_ns
    return RedisLimiter(
        RedisNodes(
            url,
            SCRIPT,
            prefix=prefix,
            when_away=WHEN_AWAY,
            times=LinkTimes(budget_seconds=budget_seconds, retry_seconds=0.02),
        ),
        stand_in=LocalLimiter(
            monotonic_ns=monotonic_ns, wall_ns=wall_ns, lease_seconds=LEASE_SECONDS
        ),
        monotonic_ns=monotonic_ns,
        lease_seconds=LEASE_SECONDS,
        share=share,
        must_confirm=must_confirm,
        prefix=prefix,
        clocks=(lambda: (clocks.monotonic_us, clocks.wall_us)) if clocks else None,
    )


async def until_shared(limiter: RedisLimiter) -> None:
    """Wait until Redis decides again."""
    async with asyncio.timeout(BACK_SECONDS):
        while not limiter.is_shared:  # noqa: ASYNC110 - nothing tells of it but the flag
            await asyncio.sleep(POLL_SECONDS)
