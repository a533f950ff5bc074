"""What `gcra.lua` says of an admission, read as a standing or a refusal."""

from typing import NamedTuple

from gateway.limits.errors import LimitError, QuotaExceeded, RateLimited, TooManyInFlight
from gateway.limits.policy import Policy, Standing

ADMISSION_WIDTH = 7
STALE = 4
_SECOND_US = 1_000_000
_REFUSALS: tuple[type[LimitError], ...] = (RateLimited, QuotaExceeded, TooManyInFlight)


class Told(NamedTuple):
    """One admission's part of a reply, after the two numbers that all share."""

    period: int
    left_us: int
    """Microseconds until the month ends."""

    refusal: int
    """0: admitted; `STALE`; else which of `_REFUSALS`, counted from 1."""

    retry_seconds: int
    ahead_us: int
    """How far the API key's meter is ahead after the decision."""

    used: int
    slot_us: int
    """The end of its slot on the meter; after `STALE` the tenant's newest revision."""

    meter_since: int
    units_since: int


def read_standing(policy: Policy, told: Told) -> Standing:
    """Say where a caller stands after a decision."""
    interval_us, limit = policy.interval_us, policy.units_per_month
    burst = (policy.capacity_us - told.ahead_us) // interval_us if interval_us else 0
    month = 0 if limit is None or told.used >= limit else limit - told.used
    return Standing(max(0, burst), -(-told.ahead_us // _SECOND_US), month, _seconds(told.left_us))


def read_refusal(policy: Policy, told: Told, standing: Standing) -> LimitError:
    """Return the error of a refusal."""
    refusal = _REFUSALS[told.refusal - 1]
    return refusal(policy=policy, retry_after_seconds=told.retry_seconds, standing=standing)


def _seconds(duration_us: int) -> int:
    """Return a duration in whole seconds, rounded up."""
    return -(-duration_us // _SECOND_US)
