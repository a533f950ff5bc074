"""What one process knows of the counters that live in Redis, and what it owes them.

It bridges the two ways of counting. While Redis is there, each reply brings the process up to date,
so that the local limiter can go on from there; while Redis is away, what was admitted locally is
kept as owed and told with the next call. A Redis that comes back empty is rebuilt from it.
"""

from collections.abc import Callable, Hashable, Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from redis.crc import key_slot

from gateway.limits.policy import Policy
from gateway.limits.redis_keys import leases_key, meter_key, tenant_prefix, units_key

_FIRST_SWEEP = 1024
_TENTH = 10
_FRESH_US = 5_000_000
_OTHERS_US = 1000  # the least time in which another process may use up one request or unit
_MOST = 2**51

Leases = dict[Hashable, int]
"""What is in flight and when each is taken for lost, oldest first."""

Keys = tuple[str, str, str]
"""What one operation of the script may touch: meter, units and leases."""


@dataclass(slots=True)
class SharedTenant:
    """One tenant as Redis last told it."""

    prefix: str
    units_key: str
    leases_key: str
    slot: int
    """Where a cluster keeps all keys of the tenant."""

    since: int = 0
    """Which hash of units Redis counts in; another one than before means that Redis lost it."""

    period: int = 0
    used: int = 0
    """The units used in `period` by the last reply, or by the ledger."""

    owed: int = 0
    """Units of `period` that were admitted locally and Redis does not know yet."""

    doubted: int = 0
    """Units that Redis may count or not: those that calls in doubt have taken along, and those of
    their requests.
    """

    leases: dict[bytes, int] = field(default_factory=dict)
    """Leases in Redis of requests of this process, and when each is taken for lost."""

    local_leases: Leases = field(default_factory=dict)
    """Requests of this process that were admitted locally and Redis does not know."""

    doubted_leases: Leases = field(default_factory=dict)
    """Such requests of which a call that is in doubt tells Redis."""

    is_mirrored: bool = False
    """Whether the local limiter has been told of `used` since the last reply."""

    callers: dict[str, "SharedCaller"] = field(default_factory=dict)

    def learn(self, since: int, period: int, used: int) -> None:
        """Take over what a reply says."""
        self.since, self.period, self.used = since, period, used
        self.is_mirrored = False

    def load(self, period: int, used: int) -> None:
        """Take over what the ledger says; what Redis said of the same period is never lowered."""
        if period == self.period:
            used = max(used, self.used)
        else:
            self.owed = 0
        self.learn(self.since, period, used)

    def owe(self, period: int, units: int) -> None:
        """Note units that were admitted (or, below 0, given back) without Redis."""
        if period > self.period:
            self.period, self.used, self.owed = period, 0, 0
        if period == self.period:
            self.owed += units


@dataclass(slots=True)
class SharedCaller:
    """One API key under one policy."""

    policy: Policy
    tenant: SharedTenant
    keys: Keys
    interval_us: int
    capacity_us: int
    limit: int
    """Units of a month; -1: unlimited. Like the two above no more than doubles hold exactly."""

    cap: int
    """Requests in flight; -1: unlimited."""

    idle_at_us: int = 0
    """When it is idle again by the last reply, on the monotonic clock of this process."""

    told_at_us: int = 0
    """When Redis last said so, on the same clock."""

    local_idle_at_us: int = 0
    """When it is idle again by what was admitted locally and Redis does not know, at the rate of a
    process's share.
    """

    doubted_us: int = 0
    """How far it is ahead by what Redis may count or not: the part of it that calls in doubt have
    taken along, and their requests, at the rate of a share where they went on alone.
    """

    is_mirrored: bool = False
    """Whether the local limiter has been told of `idle_at_us` since the last reply."""

    epoch: int = 0
    """The link's epoch in which Redis was last told of `idle_at_us`."""

    def is_near_a_limit(self, now_us: int, *, workers: int, requests: int = 1) -> bool:
        """Say whether so little may be left that one of `workers` could exceed it alone.

        Near is whoever has less than half of its burst left with these requests, less than a tenth
        of its month, or only as many places in flight as this process might fill twice with all
        others, by what Redis last said. Where it said nothing for some seconds, or nothing ever,
        the others may have gone on at full speed; a burst that comes back quicker than they can use
        it is none the less for that.

        What all grant alone while Redis is late is told to it at once, and must find room: half of
        the burst is kept for what the others may have used since.
        """
        tenant = self.tenant
        age_us = now_us - self.told_at_us
        others = (workers - 1) * age_us // _OTHERS_US if age_us > _FRESH_US else 0
        if self.interval_us:
            may_dwindle = (workers - 1) * self.interval_us > _OTHERS_US
            if may_dwindle and not self.idle_at_us:
                return True
            ahead_us = max(0, self.idle_at_us + others * self.interval_us - now_us)
            ahead_us += max(0, self.local_idle_at_us - now_us)
            wanted_us = ahead_us + self.doubted_us + requests * self.interval_us
            if 2 * wanted_us > self.capacity_us:
                return True
        if self.limit >= 0:
            left = self.limit - tenant.used - tenant.owed - tenant.doubted - others
            if not tenant.since or _TENTH * left < self.limit:
                return True
        held = sum(
            count_held(leases, now_us)
            for leases in (tenant.leases, tenant.local_leases, tenant.doubted_leases)
        )
        return 0 <= self.cap < 2 * workers * (held + requests)


class KnownCallers:
    """The API keys of which this process knows something; idle ones are forgotten."""

    def __init__(self, prefix: str, *, monotonic_ns: Callable[[], int]) -> None:
        self._prefix = prefix
        self._monotonic_ns = monotonic_ns
        self._tenants: dict[str, SharedTenant] = {}
        self._caller_count = 0
        self._sweep_at = _FIRST_SWEEP

    def tenant_of(self, tenant_id: str) -> SharedTenant:
        """Find a tenant, or add one that nothing is known of."""
        tenant = self._tenants.get(tenant_id)
        if tenant is None:
            prefix = tenant_prefix(self._prefix, tenant_id)
            units, leases = units_key(prefix), leases_key(prefix)
            slot = key_slot(units.encode())
            tenant = self._tenants[tenant_id] = SharedTenant(prefix, units, leases, slot)
        return tenant

    def tenants(self) -> Iterable[SharedTenant]:
        """List the tenants of which something is known."""
        return self._tenants.values()

    def caller_of(self, policy: Policy) -> SharedCaller:
        """Find an API key under its policy, or add it in place of an earlier policy."""
        tenant = self._tenants.get(policy.tenant_id) or self.tenant_of(policy.tenant_id)
        known = tenant.callers.get(policy.key_id)
        if known is not None and known.policy is policy:
            return known
        if known is None:
            if self._caller_count >= self._sweep_at:
                self._forget_idle(tenant)
            self._caller_count += 1
        prefix = tenant.prefix
        keys = (meter_key(prefix, policy.key_id), tenant.units_key, tenant.leases_key)
        caller = tenant.callers[policy.key_id] = SharedCaller(
            policy,
            tenant,
            keys,
            interval_us=min(policy.interval_us, _MOST),
            capacity_us=min(policy.capacity_us, _MOST),
            limit=-1 if policy.units_per_month is None else min(policy.units_per_month, _MOST),
            cap=-1 if policy.max_in_flight is None else min(policy.max_in_flight, _MOST),
        )
        if known is not None:
            caller.idle_at_us = known.idle_at_us
            caller.local_idle_at_us = known.local_idle_at_us
        return caller

    def _forget_idle(self, kept: SharedTenant) -> None:
        """Forget what Redis has forgotten too; the cost is shared by the API keys added."""
        now_us = self._monotonic_ns() // 1000
        self._caller_count = 0
        for tenant_id, tenant in list(self._tenants.items()):
            tenant.callers = {
                key_id: caller
                for key_id, caller in tenant.callers.items()
                if caller.idle_at_us > now_us or caller.local_idle_at_us > now_us
            }
            self._caller_count += len(tenant.callers)
            is_known = tenant.callers or tenant.leases or tenant.local_leases or tenant.period
            if tenant is not kept and not is_known:
                del self._tenants[tenant_id]
        self._sweep_at = max(_FIRST_SWEEP, 2 * self._caller_count)


def count_held(leases: MutableMapping[Any, int], now_us: int) -> int:
    """Count what is in flight, without those that ran out."""
    while leases:
        oldest = next(iter(leases))
        if leases[oldest] > now_us:
            break
        del leases[oldest]
    return len(leases)
