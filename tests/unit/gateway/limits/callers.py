"""Callers and clocks for the contract of the limiters."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from gateway.limits.errors import LimitError
from gateway.limits.limiter import Grant, Limiter
from gateway.limits.policy import Policy

SECOND_US = 1_000_000
LEASE_SECONDS = 60
NOVEMBER, DECEMBER = 202611, 202612
MID_NOVEMBER_US = int(datetime(2026, 11, 15, tzinfo=UTC).timestamp()) * SECOND_US
LAST_SECOND_US = int(datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC).timestamp()) * SECOND_US
HOSTILE_IDS = ["a:b", "*", "{a}", "a}b{", "a\nb", "a", "", "a:", "\x00", "e\u0301", "$(x)"]


@dataclass
class Clocks:
    """A monotonic and a wall clock that move when a test says so, in microseconds."""

    monotonic_us: int = 5_000_000_000
    wall_us: int = MID_NOVEMBER_US

    def advance(self, duration_us: int) -> None:
        """Let time pass."""
        self.monotonic_us += duration_us
        self.wall_us += duration_us

    def monotonic_ns(self) -> int:
        """Read the monotonic clock."""
        return self.monotonic_us * 1000

    def wall_ns(self) -> int:
        """Read the wall clock."""
        return self.wall_us * 1000


def policy(
    *,
    tenant: str = "ten_a",
    key: str = "key_a",
    rate: float | None = None,
    burst: int | None = None,
    units: int | None = None,
    in_flight: int | None = None,
) -> Policy:
    """Return a policy that limits only what is named."""
    return Policy(tenant, key, rate, burst, units, in_flight)


async def attempt(limiter: Limiter, limits: Policy, *, units: int = 1) -> Grant | None:
    """Return the grant of one request, or None if it is refused."""
    try:
        return await limiter.admit(limits, units=units, billed=True)
    except LimitError:
        return None


async def admitted(
    limiter: Limiter, limits: Policy, *, units: int = 1, billed: bool = True
) -> bool:
    """Say whether one request gets in."""
    try:
        await limiter.admit(limits, units=units, billed=billed)
    except LimitError:
        return False
    return True


async def refusal(limiter: Limiter, limits: Policy, *, units: int = 1) -> LimitError:
    """Return the error of a request that must not get in."""
    with pytest.raises(LimitError) as caught:
        await limiter.admit(limits, units=units, billed=True)
    return caught.value
