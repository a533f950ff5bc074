"""The limiter that several processes share: one Lua call decides for all callers who wait.

The decisions are those of the local limiter, by Redis' clock, in `gcra.lua`. Redis is a cache of
decisions and never the record: without it the local limiter goes on with this process's share of
each limit, from where Redis was, and tells Redis later what it admitted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.limits.errors import LimitError
from gateway.limits.limiter import Grant, Outcome
from gateway.limits.local_limiter import LocalGrant, LocalLimiter
from gateway.limits.policy import Policy
from gateway.limits.redis_link import RedisLink
from gateway.limits.redis_operations import SharedGrant
from gateway.limits.redis_trips import Clocks, RedisTrips
from gateway.limits.shared_state import (
    KnownCallers,
    SharedCaller,
    SharedTenant,
    count_held,
    local_share,
)

SCRIPT = Path(__file__).with_name("gcra.lua").read_bytes()
PREFIX = "tollgate"
_SECOND_US = 1_000_000


@dataclass(slots=True, eq=False)
class _ShareGrant(Grant):
    """An admission by the local limiter while Redis was away."""

    tenant: SharedTenant
    inner: LocalGrant
    is_released: bool = False


class RedisLimiter:
    """Decide on requests in Redis, and locally while it is away.

    Concurrency: one event loop; one call to Redis at a time, shared by all who wait. Limits are
    never exceeded while Redis lives. Around its loss one process carries over what it knows in both
    directions; of several, each grants its share. A lost release expires with its lease.
    """

    def __init__(
        self,
        link: RedisLink,
        *,
        stand_in: LocalLimiter,
        monotonic_ns: Callable[[], int],
        lease_seconds: float = 120.0,
        workers: int = 1,
        prefix: str = PREFIX,
        clocks: Clocks | None = None,
    ) -> None:
        """Build a limiter that has not asked Redis yet; see `open`.

        Args:
            link: the connection, made with `SCRIPT`.
            stand_in: decides while Redis is away; on the same clock and with the same leases.
            monotonic_ns: clock of what the process remembers (`time.monotonic_ns`).
            lease_seconds: a request still in flight after this is taken for lost.
            workers: how many processes share the limits.
            prefix: what every key in Redis begins with.
            clocks: a rate and a wall clock in microseconds in place of Redis' own, for tests.
        """
        self._link = link
        self._stand_in = stand_in
        self._monotonic_ns = monotonic_ns
        self._lease_us = int(lease_seconds * _SECOND_US)
        self._workers = workers
        self._known = KnownCallers(prefix, monotonic_ns=monotonic_ns)
        self._trips = RedisTrips(
            link,
            stand_in=stand_in,
            monotonic_ns=monotonic_ns,
            lease_us=self._lease_us,
            clocks=clocks,
        )
        self.local_decisions = 0

    @property
    def is_shared(self) -> bool:
        """Whether Redis decides now, rather than this process alone."""
        return self._link.is_up

    @property
    def outages(self) -> int:
        """How often Redis was given up since the start."""
        return self._link.counters.outages

    @property
    def lost_releases(self) -> int:
        """Releases that could not be told; leases expire, units and rate stay consumed."""
        return self._trips.lost_releases

    async def open(self) -> None:
        """Connect to Redis; where it is away, warn and begin with the local share."""
        await self._link.open()

    async def close(self) -> None:
        """Tell Redis what waits to be told, and disconnect."""
        await self._trips.drain()
        await self._link.close()

    async def admit(self, policy: Policy, *, units: int, billed: bool) -> Grant:
        """Admit one request of `units`, or refuse it without consuming anything.

        Raises:
            RateLimited, QuotaExceeded, TooManyInFlight: see `Limiter.admit`; where several limits
                refuse, the one that binds longest is raised.
        """
        caller = self._known.caller_of(policy)
        if self._link.is_up:
            verdict = await self._trips.admit(caller, units=units, billed=billed)
            if isinstance(verdict, LimitError):
                raise verdict
            if verdict is not None:
                return verdict
        return await self._admit_locally(caller, units=units, billed=billed)

    def release(self, grant: Grant, outcome: Outcome) -> None:
        """End the request: free its place in flight and give back what `outcome` says.

        Nobody waits for it: it travels with the next call to Redis.
        """
        if isinstance(grant, SharedGrant):
            self._trips.release(grant, outcome)
        elif isinstance(grant, _ShareGrant):
            self._release_locally(grant, outcome)
        else:
            raise TypeError("a grant of another limiter")

    def load_quota(self, tenant_id: str, period: int, units: int) -> None:
        """Set the units that a tenant has used in a period, read from the ledger.

        Redis is told with the tenant's next request; what it has counted is never lowered.
        """
        self._known.tenant_of(tenant_id).load(period, units)

    async def _admit_locally(self, caller: SharedCaller, *, units: int, billed: bool) -> Grant:
        """Decide with this process's share, from where Redis was when it last answered."""
        self.local_decisions += 1
        policy, tenant = caller.policy, caller.tenant
        if not tenant.is_mirrored:
            tenant.is_mirrored = True
            known = tenant.used + tenant.owed
            if tenant.period:
                self._stand_in.load_quota(policy.tenant_id, tenant.period, known)
        if not caller.is_mirrored:
            caller.is_mirrored = True
            self._stand_in.delay_idle(policy, caller.idle_at_us)
        now_us = self._monotonic_ns() // 1000
        held = count_held(tenant.leases, now_us)
        share = local_share(policy, tenant, workers=self._workers, held=held)
        inner = await self._stand_in.admit(share, units=units, billed=billed)
        caller.is_local = True
        tenant.owe(inner.period, inner.units)
        grant = _ShareGrant(policy, inner.standing, tenant, inner)
        if policy.max_in_flight is not None:
            tenant.local_leases[grant] = now_us + self._lease_us
        return grant

    def _release_locally(self, grant: _ShareGrant, outcome: Outcome) -> None:
        if grant.is_released:
            return
        grant.is_released = True
        self._stand_in.release(grant.inner, outcome)
        grant.tenant.local_leases.pop(grant, None)
        if outcome is not Outcome.COMPLETED:
            grant.tenant.owe(grant.inner.period, -grant.inner.units)
