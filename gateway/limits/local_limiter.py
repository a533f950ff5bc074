"""The limiter of one process: the same decisions as the shared one, from memory.

Rate: the generic cell rate algorithm (GCRA, ITU-T I.371) in whole microseconds of the monotonic
clock. A meter remembers one number, the moment at which the API key is idle again; a request moves
it on by one interval, and is refused if that would put it further ahead than a burst.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from gateway.limits.counted import Counted
from gateway.limits.errors import (
    LimitError,
    QuotaExceeded,
    RateLimited,
    StaleCatalogue,
    TooManyInFlight,
)
from gateway.limits.limiter import Grant, Outcome
from gateway.limits.policy import Policy, Standing
from gateway.limits.windows import Month, month_of

_SECOND_US = 1_000_000
_KEPT_PERIODS = 3
_FIRST_SWEEP = 1024
_IN_FLIGHT_RETRY_SECONDS = 1


@dataclass(slots=True)
class _Meter:
    """The rate of one API key."""

    idle_at_us: int = 0
    returned_us: int = 0
    """All the time ever given back; the slots that queued behind it moved forward by that much."""


@dataclass(slots=True)
class _Tenant:
    """What one tenant has used and has in flight."""

    meters: dict[str, _Meter] = field(default_factory=dict)
    units: dict[int, int] = field(default_factory=dict)
    leases: "dict[LocalGrant, int]" = field(default_factory=dict)
    """The grants in flight and when each is taken for lost (oldest first)."""


@dataclass(slots=True, eq=False)
class LocalGrant(Grant):
    """A grant with what `release` has to undo: `units` of the quota of `period`, and the slot."""

    tenant: _Tenant
    meter: _Meter
    period: int
    units: int
    slot_us: int
    """The end of the request's slot on the meter, plus what had been given back by then."""

    is_released: bool = False


class LocalLimiter:
    """Decide on requests in the memory of one process.

    Concurrency: one event loop; no decision awaits anything, so each is atomic. Wall clock jumps
    move only the month that is counted in; rates and leases follow the monotonic clock. Memory:
    API keys that are idle are forgotten; a tenant is kept for the units it used in recent months.
    """

    def __init__(
        self,
        *,
        monotonic_ns: Callable[[], int],
        wall_ns: Callable[[], int],
        lease_seconds: float = 120.0,
    ) -> None:
        """Build an empty limiter.

        Args:
            monotonic_ns: clock of rates and leases (`time.monotonic_ns`).
            wall_ns: clock of the calendar (`time.time_ns`).
            lease_seconds: a request still in flight after this is taken for lost; longer than the
                longest request.
        """
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns
        self._lease_us = int(lease_seconds * _SECOND_US)
        self._tenants: dict[str, _Tenant] = {}
        self._meter_count = 0
        self._sweep_at = _FIRST_SWEEP
        self._month = Month(0, 0, 0)

    async def admit(
        self,
        policy: Policy,
        *,
        units: int,
        billed: bool,
        revision: int | None = None,  # noqa: ARG002 - one process has no older catalogue than it
        after: StaleCatalogue | None = None,  # noqa: ARG002 - never refused for that
    ) -> LocalGrant:
        """Admit one request of `units`, or refuse it without consuming anything.

        Raises:
            RateLimited, QuotaExceeded, TooManyInFlight: see `Limiter.admit`; where several limits
                refuse, the one that binds longest is raised.
        """
        now_us = self._monotonic_ns() // 1000
        wall_us = self._wall_ns() // 1000
        if not self._month.start_us <= wall_us < self._month.end_us:
            self._month = month_of(wall_us)
        period, _, month_end_us = self._month
        tenant = self._tenants.get(policy.tenant_id) or self._add_tenant(policy.tenant_id)
        meter = tenant.meters.get(policy.key_id) or self._add_meter(tenant, policy.key_id, now_us)
        idle_at_us = meter.idle_at_us
        ahead_us = idle_at_us - now_us if idle_at_us > now_us else 0
        moved_us = ahead_us + policy.interval_us
        charged = units if billed else 0
        used = tenant.units.get(period, 0)
        left_us = month_end_us - wall_us
        limit = policy.units_per_month
        refusals: list[tuple[int, type[LimitError]]] = []
        if moved_us > policy.capacity_us:
            refusals.append((_seconds(moved_us - policy.capacity_us), RateLimited))
        if limit is not None and billed and used + charged > limit:
            refusals.append((_seconds(left_us), QuotaExceeded))
        cap = policy.max_in_flight
        if cap is not None and len(tenant.leases) >= cap and not _has_place(tenant, cap, now_us):
            refusals.append((_IN_FLIGHT_RETRY_SECONDS, TooManyInFlight))
        if refusals:
            raise _binding(
                refusals, policy, _standing(policy, ahead_us, used=used, left_us=left_us)
            )
        meter.idle_at_us = slot_us = now_us + moved_us
        if charged:
            _charge(tenant, period, used + charged)
        standing = _standing(policy, moved_us, used=used + charged, left_us=left_us)
        slot_us += meter.returned_us
        grant = LocalGrant(policy, standing, tenant, meter, period, charged, slot_us)
        if cap is not None:
            tenant.leases[grant] = now_us + self._lease_us
        return grant

    def release(self, grant: Grant, outcome: Outcome) -> None:
        """End the request: free its place in flight and give back what `outcome` says."""
        if not isinstance(grant, LocalGrant):
            raise TypeError("a grant of another limiter")
        if grant.is_released:
            return
        grant.is_released = True
        tenant = grant.tenant
        tenant.leases.pop(grant, None)
        if outcome is Outcome.COMPLETED:
            return
        if grant.period in tenant.units:
            tenant.units[grant.period] = max(0, tenant.units[grant.period] - grant.units)
        if outcome is Outcome.REFUSED:
            _return_rate(grant, self._monotonic_ns() // 1000)

    def forget(self, grant: LocalGrant) -> None:
        """Take back the rate of a request, ended or not, because it was counted elsewhere."""
        if grant.is_released:
            _return_rate(grant, self._monotonic_ns() // 1000)
        else:
            self.release(grant, Outcome.REFUSED)

    def load_quota(self, tenant_id: str, period: int, units: int) -> None:
        """Set the units that a tenant has used in a period (`202611`), read from the ledger."""
        tenant = self._tenants.get(tenant_id) or self._add_tenant(tenant_id)
        _charge(tenant, period, units)

    def counted(self, tenant_ids: Iterable[str], period: int) -> dict[str, Counted]:
        """Tell what tenants have used in a period, as far as it is counted here."""
        found = {name: self._tenants.get(name) for name in tenant_ids}
        return {
            name: Counted(0, 0, is_known=False)
            if tenant is None
            else Counted(tenant.units.get(period, 0), _leased(tenant), is_known=True)
            for name, tenant in found.items()
        }

    def delay_idle(self, policy: Policy, idle_at_us: int) -> None:
        """Count what an API key used elsewhere: it is idle no sooner than then."""
        tenant = self._tenants.get(policy.tenant_id) or self._add_tenant(policy.tenant_id)
        now_us = self._monotonic_ns() // 1000
        meter = tenant.meters.get(policy.key_id) or self._add_meter(tenant, policy.key_id, now_us)
        meter.idle_at_us = max(meter.idle_at_us, idle_at_us)

    def _add_tenant(self, tenant_id: str) -> _Tenant:
        tenant = self._tenants[tenant_id] = _Tenant()
        return tenant

    def _add_meter(self, tenant: _Tenant, key_id: str, now_us: int) -> _Meter:
        """Add the meter of an API key, after forgetting the idle ones when many were added."""
        if self._meter_count >= self._sweep_at:
            self._forget_idle(tenant, now_us)
        self._meter_count += 1
        meter = tenant.meters[key_id] = _Meter()
        return meter

    def _forget_idle(self, kept: _Tenant, now_us: int) -> None:
        """Forget what equals never having been seen; the cost is shared by the meters added."""
        self._meter_count = 0
        for tenant_id, tenant in list(self._tenants.items()):
            tenant.meters = {
                key_id: meter
                for key_id, meter in tenant.meters.items()
                if meter.idle_at_us > now_us
            }
            self._meter_count += len(tenant.meters)
            if tenant is not kept and not (tenant.meters or tenant.leases or tenant.units):
                del self._tenants[tenant_id]
        self._sweep_at = max(_FIRST_SWEEP, 2 * self._meter_count)


def _seconds(duration_us: int) -> int:
    """Return a duration in whole seconds, rounded up."""
    return -(-duration_us // _SECOND_US)


def _standing(policy: Policy, ahead_us: int, *, used: int, left_us: int) -> Standing:
    """Say where a caller stands: its meter `ahead_us` ahead, the month over in `left_us`."""
    interval_us = policy.interval_us
    burst = (policy.capacity_us - ahead_us) // interval_us if interval_us else 0
    limit = policy.units_per_month
    month = 0 if limit is None or used >= limit else limit - used
    return Standing(max(0, burst), -(-ahead_us // _SECOND_US), month, -(-left_us // _SECOND_US))


def _binding(
    refusals: list[tuple[int, type[LimitError]]], policy: Policy, standing: Standing
) -> LimitError:
    """Return the refusal that binds longest: an earlier retry would meet it."""
    seconds, refusal = max(refusals, key=lambda entry: entry[0])
    return refusal(policy=policy, retry_after_seconds=seconds, standing=standing)


def _leased(tenant: _Tenant) -> int:
    return sum(grant.units for grant in tenant.leases)


def _has_place(tenant: _Tenant, cap: int, now_us: int) -> bool:
    """Drop the leases that ran out (the oldest come first) and say whether one is free now."""
    lost = []
    for grant, expires_us in tenant.leases.items():
        if expires_us > now_us:
            break
        lost.append(grant)
    for grant in lost:
        del tenant.leases[grant]
    return len(tenant.leases) < cap


def _charge(tenant: _Tenant, period: int, used: int) -> None:
    """Set the units used in a period; earlier ones are kept for refunds and clock jumps."""
    tenant.units[period] = used
    if len(tenant.units) > _KEPT_PERIODS:
        del tenant.units[min(kept for kept in tenant.units if kept != period)]


def _return_rate(grant: LocalGrant, now_us: int) -> None:
    """Give back the part of the request's slot that has not passed yet.

    What has passed was there for others already; giving back more would let a key exceed its rate.
    """
    meter, interval_us = grant.meter, grant.policy.interval_us
    ends_us = grant.slot_us - meter.returned_us
    unspent_us = min(interval_us, max(0, ends_us - now_us))
    meter.idle_at_us -= unspent_us
    meter.returned_us += unspent_us
