"""Who waits for a Redis that is late: whoever could exceed a limit, and nobody else."""

import pytest

from gateway.limits.shared_state import KnownCallers, SharedCaller
from tests.unit.gateway.limits.callers import policy

WORKERS = 4
NOW_US = 3_600_000_000
SECOND_US = 1_000_000


def caller_with(*, rate: float, burst: int, ahead_us: int, told_ago_us: int) -> SharedCaller:
    """Make a caller of whom Redis spoke a while ago."""
    known = KnownCallers("test", monotonic_ns=lambda: NOW_US * 1000)
    caller = known.caller_of(policy(rate=rate, burst=burst))
    caller.told_at_us = NOW_US - told_ago_us
    caller.idle_at_us = caller.told_at_us + ahead_us
    return caller


def unknown_caller(*, rate: float, burst: int) -> SharedCaller:
    """Make a caller of whom Redis never spoke."""
    known = KnownCallers("test", monotonic_ns=lambda: NOW_US * 1000)
    return known.caller_of(policy(rate=rate, burst=burst))


@pytest.mark.parametrize(("rate", "is_near"), [(1, True), (2999, True), (4000, False)])
def test_unknown_caller_waits_unless_nobody_could_use_its_burst_up(
    rate: float, *, is_near: bool
) -> None:
    """Three other workers have at most 3,000 requests a second."""
    caller = unknown_caller(rate=rate, burst=10_000)
    assert caller.is_near_a_limit(NOW_US, workers=WORKERS) is is_near


def test_lone_worker_makes_no_unknown_caller_wait() -> None:
    """Nobody else could have used anything."""
    assert not unknown_caller(rate=1, burst=10).is_near_a_limit(NOW_US, workers=1)


@pytest.mark.parametrize(
    ("told_ago_us", "is_near"), [(4 * SECOND_US, False), (6 * SECOND_US, True)]
)
def test_old_knowledge_of_a_burst_that_others_may_have_used_is_not_trusted(
    told_ago_us: int, *, is_near: bool
) -> None:
    """18,000 requests of three others in 6 s are more than half of the burst."""
    caller = caller_with(rate=1, burst=30_000, ahead_us=SECOND_US, told_ago_us=told_ago_us)
    assert caller.is_near_a_limit(NOW_US, workers=WORKERS) is is_near


def test_what_others_use_comes_on_top_of_what_was_used() -> None:
    """Of 60 s of burst 10 were used; three others at full speed gained 20 s in 10 s at 1,000/s."""
    caller = caller_with(
        rate=1000, burst=60_000, ahead_us=10 * SECOND_US, told_ago_us=10 * SECOND_US
    )
    assert caller.is_near_a_limit(NOW_US, workers=WORKERS, requests=1)
    assert not caller.is_near_a_limit(NOW_US - SECOND_US, workers=WORKERS, requests=1)


def test_half_of_a_generous_burst_is_kept_all_the_same() -> None:
    """A caller that used its burst just now is near its limit, however quickly it comes back."""
    caller = caller_with(rate=10_000, burst=10_000, ahead_us=600_000, told_ago_us=1000)
    assert caller.is_near_a_limit(NOW_US, workers=WORKERS)
