"""What processes grant alone never adds up to more than the limit."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.policy import Policy
from gateway.limits.shared_state import KnownCallers, SharedTenant
from gateway.limits.shares import Share
from tests.unit.gateway.limits.callers import policy

amounts = st.integers(0, 100)
numbers = st.integers(1, 16)


def tenant_with(used: int = 0) -> SharedTenant:
    """Make a tenant as Redis last told it."""
    tenant = KnownCallers("test", monotonic_ns=lambda: 0).tenant_of("ten_a")
    tenant.learn(1, 202611, used)
    return tenant


def shares_of(limits: Policy, tenant: SharedTenant, *, workers: int) -> list[Policy]:
    """List the limits of numbered workers."""
    return [Share(workers, index).of(limits, tenant, held=0) for index in range(workers)]


@given(amount=amounts, workers=numbers, tenant_id=st.text(max_size=8))
def test_parts_of_numbered_workers_are_the_whole(amount: int, workers: int, tenant_id: str) -> None:
    """Nothing is granted twice and nothing is left over."""
    parts = [Share(workers, index).part_of(amount, tenant_id) for index in range(workers)]
    assert sum(parts) == amount
    assert max(parts) - min(parts) <= 1


@given(amount=amounts, workers=numbers)
def test_parts_of_workers_without_numbers_are_never_more(amount: int, workers: int) -> None:
    """What cannot be divided goes to nobody."""
    part = Share(workers).part_of(amount, "ten_a")
    assert amount - workers < workers * part <= amount


@given(burst=st.integers(1, 40), rate=st.floats(0.01, 1000), workers=numbers)
def test_rates_and_bursts_add_up_to_those_of_the_plan(
    burst: int, rate: float, workers: int
) -> None:
    """A worker without a burst admits nothing, whatever its rate."""
    limits = shares_of(policy(rate=rate, burst=burst), tenant_with(), workers=workers)
    assert sum(share.quota_requests for share in limits) == burst
    granted = sum(share.requests_per_second or 0 for share in limits if share.quota_requests)
    assert abs(granted - rate) < 1e-6 * rate
    assert all(share.capacity_us == 0 for share in limits if share.quota_requests == 0)


@given(limit=amounts, used=amounts, workers=numbers)
def test_quotas_add_up_to_what_is_left(limit: int, used: int, workers: int) -> None:
    """The units used before count for everybody; what a worker admits does not raise its share."""
    tenant = tenant_with(used)
    before = shares_of(policy(units=limit), tenant, workers=workers)
    tenant.owe(202611, 1)
    left = [(share.units_per_month or 0) - used for share in before]
    assert workers == 1 or sum(left) == max(0, limit - used)
    assert shares_of(policy(units=limit), tenant, workers=workers) == before


def test_places_held_by_leave_of_redis_count_in_the_share() -> None:
    """A worker does not grant again what it has in flight already."""
    limits = policy(in_flight=9)
    held = [Share(3, 0).of(limits, tenant_with(), held=held).max_in_flight for held in (0, 2, 5)]
    assert held == [3, 1, 0]


def test_one_process_grants_everything() -> None:
    """There is nobody to share with."""
    limits = policy(rate=3.0, burst=7, units=11, in_flight=2)
    assert Share().of(limits, tenant_with(), held=0) is limits
