"""The local limiter keeps the contract, and its memory bounded."""

import pytest

from gateway.limits.limiter import Grant, Limiter, Outcome
from gateway.limits.local_limiter import LocalLimiter
from gateway.limits.policy import Standing
from tests.unit.gateway.limits.callers import (
    LEASE_SECONDS,
    SECOND_US,
    Clocks,
    admitted,
    policy,
)
from tests.unit.gateway.limits.limiter_contract import LimiterContract


def local_limiter(clocks: Clocks) -> LocalLimiter:
    """Return an empty limiter on fake clocks."""
    return LocalLimiter(
        monotonic_ns=clocks.monotonic_ns, wall_ns=clocks.wall_ns, lease_seconds=LEASE_SECONDS
    )


class TestLocalLimiter(LimiterContract):
    """The contract, in one process."""

    async def make(self, clocks: Clocks) -> Limiter:
        """Return an empty local limiter."""
        return local_limiter(clocks)


async def test_idle_keys_are_forgotten() -> None:
    """Twenty thousand keys that come and go leave only the recent ones behind."""
    clocks = Clocks()
    limiter = local_limiter(clocks)
    for number in range(20_000):
        clocks.advance(SECOND_US // 100)
        limits = policy(tenant=f"ten_{number}", rate=1.0, burst=1)
        assert await admitted(limiter, limits, billed=False)
    assert len(limiter._tenants) <= 2048


async def test_busy_keys_survive_forgetting() -> None:
    """A key that is still ahead is never forgotten, or its limit would start anew."""
    clocks = Clocks()
    limiter = local_limiter(clocks)
    limits = policy(tenant="busy", rate=0.001, burst=1)
    assert await admitted(limiter, limits)
    for number in range(5000):
        assert await admitted(limiter, policy(tenant=f"ten_{number}", rate=1e6, burst=1))
        clocks.advance(SECOND_US // 1000)
    assert not await admitted(limiter, limits)


async def test_grant_of_another_limiter_is_a_bug() -> None:
    """A foreign grant is refused loudly, or its place would stay taken in silence."""
    grant = Grant(policy(), Standing(0, 0, 0, 0))
    with pytest.raises(TypeError):
        local_limiter(Clocks()).release(grant, Outcome.COMPLETED)
