"""The limiter that several processes share: one Lua call decides for all callers who wait.

The decisions are those of the local limiter, by Redis' clock, in `gcra.lua`. Redis is a cache of
decisions and never the record: without it the local limiter goes on with this process's share of
each limit, from where Redis was, and tells Redis later what it admitted.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.limits.errors import LimitError, StaleCatalogue
from gateway.limits.limiter import Grant, Outcome
from gateway.limits.local_limiter import LocalLimiter
from gateway.limits.policy import Policy
from gateway.limits.redis_alone import LoneDecisions
from gateway.limits.redis_link import RedisLink
from gateway.limits.redis_nodes import RedisNodes
from gateway.limits.redis_operations import (
    NO_LEASE,
    NOT_COMPARED,
    Admission,
    LoneGrant,
    Release,
    SharedGrant,
    hold_of,
    release_of,
)
from gateway.limits.redis_trips import Clocks, RedisTrips
from gateway.limits.shared_state import KnownCallers, SharedCaller, count_held
from gateway.limits.shares import Share

SCRIPT = Path(__file__).with_name("gcra.lua").read_bytes()
PREFIX = "tollgate"
WHEN_AWAY = "limits go on without Redis, each worker with its share"
_SECOND_US = 1_000_000
_NONE = 0  # the revision of a tenant of which Redis knows none


@dataclass(slots=True)
class _Past:
    """What was counted on the way to nodes that are gone."""

    operations: int = 0
    lost: int = 0


class RedisLimiter:
    """Decide on requests in Redis, and locally while it is away.

    Concurrency: one event loop; one call at a time to each Redis, shared by all who wait. Limits
    are not exceeded while Redis lives: when it is late, callers who are near a limit wait for it,
    and the others go on with the share, once it is on its way to Redis that they did. Around its
    loss one process carries over what it knows in both directions; of several, each grants its
    share. A lost release expires with its lease.

    Threat: a Redis that comes back, or is empty, may have lost a revocation that it was told of.
    Where nothing else tells of one, nobody is admitted by what is in memory until the catalogue has
    been read once more.
    """

    def __init__(
        self,
        nodes: RedisNodes,
        *,
        stand_in: LocalLimiter,
        monotonic_ns: Callable[[], int],
        lease_seconds: float = 120.0,
        share: Share | None = None,
        must_confirm: bool = False,
        prefix: str = PREFIX,
        clocks: Clocks | None = None,
    ) -> None:
        """Build a limiter that has not asked Redis yet; see `open`.

        Args:
            nodes: one Redis or a cluster, made with `SCRIPT`.
            stand_in: decides while Redis is away; on the same clock and with the same leases.
            monotonic_ns: clock of what the process remembers (`time.monotonic_ns`).
            lease_seconds: a request still in flight after this is taken for lost.
            share: what this process grants alone; None: everything.
            must_confirm: whether the catalogue is changed where only Redis tells this process, so
                that it must be read before each decision that Redis cannot vouch for.
            prefix: what every key in Redis begins with.
            clocks: a rate and a wall clock in microseconds in place of Redis' own, for tests.
        """
        self._nodes = nodes
        self._monotonic_ns = monotonic_ns
        self._lease_us = int(lease_seconds * _SECOND_US)
        self._share = share or Share()
        self._must_confirm = must_confirm
        self._seen_at_first = NOT_COMPARED if must_confirm else _NONE
        self._known = KnownCallers(prefix, monotonic_ns=monotonic_ns)
        self._clocks = clocks
        self._trips: dict[RedisLink, RedisTrips] = {}
        self._past = _Past()
        self._epoch = 0
        self._least_revision: float = 0
        self._alone = LoneDecisions(
            stand_in,
            share=self._share,
            monotonic_ns=monotonic_ns,
            lease_us=self._lease_us,
            release_shared=self._release_shared,
        )
        nodes.on_up = self._take_up
        nodes.on_doubt = self._let_go
        nodes.on_map = self._follow_map

    @property
    def is_shared(self) -> bool:
        """Whether Redis decides now, rather than this process alone."""
        return self._nodes.is_up

    @property
    def local_decisions(self) -> int:
        """Requests that were decided by this process's share."""
        return self._alone.made

    @property
    def outages(self) -> int:
        """How often a Redis was given up since the start."""
        return self._nodes.counters.outages

    @property
    def trips(self) -> int:
        """Calls that Redis answered in time."""
        return self._nodes.counters.trips

    @property
    def shared_operations(self) -> int:
        """Admissions and releases in all calls; by `trips`: how many shared one."""
        return self._past.operations + sum(trips.operations for trips in self._trips.values())

    @property
    def lost_releases(self) -> int:
        """Releases that could not be told; leases expire, units and rate stay consumed."""
        return self._past.lost + sum(trips.unsent.lost for trips in self._trips.values())

    async def open(self) -> None:
        """Connect to Redis; where it is away, warn and begin with the local share."""
        await self._nodes.open()

    async def close(self) -> None:
        """Tell Redis what waits to be told, and disconnect."""
        await self.drain()
        await self._nodes.close()

    async def drain(self) -> None:
        """Wait until nothing waits to be told and nothing is under way."""
        for trips in list(self._trips.values()):
            await trips.drain()

    async def admit(
        self,
        policy: Policy,
        *,
        units: int,
        billed: bool,
        revision: int | None = None,
        after: StaleCatalogue | None = None,
    ) -> Grant:
        """Admit one request of `units`, or refuse it without consuming anything.

        Raises:
            RateLimited, QuotaExceeded, TooManyInFlight: see `Limiter.admit`; where several limits
                refuse, the one that binds longest is raised.
            StaleCatalogue: a newer revision was announced, or nobody can say that there is none.
        """
        caller, epoch = self._known.caller_of(policy), self._epoch
        if revision is not None and revision < self._least_revision:
            self._accept(revision, after)
        admission = Admission(
            caller,
            units if billed else 0,
            billed,
            revision=NOT_COMPARED if revision is None else revision,
            seen=self._seen_at_first if after is None else after.newest,
        )
        link = self._nodes.link_of(caller.tenant.slot)
        trips = self._trips.get(link)
        if trips is not None and link.is_up:
            verdict = await trips.admit(admission)
            if verdict is not None:
                return _open(verdict, epoch=epoch)
        if self._must_confirm and revision is not None and after is None:
            admission.is_abandoned = True
            raise StaleCatalogue(newest=NOT_COMPARED, epoch=epoch)
        try:
            return await self._alone.admit(admission)
        except LimitError:
            if trips is None or not admission.is_pending:
                raise
            verdict = await trips.wait_for(admission)
            if verdict is None:
                raise
        return _open(verdict, epoch=epoch)

    def release(self, grant: Grant, outcome: Outcome) -> None:
        """End the request: free its place in flight and give back what `outcome` says.

        Nobody waits for it: it travels with the next call to Redis.
        """
        if isinstance(grant, SharedGrant):
            self._release_shared(grant, outcome)
        elif isinstance(grant, LoneGrant):
            self._alone.release(grant, outcome)
        else:
            raise TypeError("a grant of another limiter")

    def load_quota(self, tenant_id: str, period: int, units: int) -> None:
        """Set the units that a tenant has used in a period, read from the ledger.

        Redis is told with the tenant's next request; what it has counted is never lowered.
        """
        self._known.tenant_of(tenant_id).load(period, units)

    # The catalogue

    def _accept(self, revision: int, after: StaleCatalogue | None) -> None:
        """Pass if the catalogue was read since the last Redis came up.

        Raises:
            StaleCatalogue: it was not.
        """
        if after is None or after.epoch != self._epoch:
            raise StaleCatalogue(newest=NOT_COMPARED, epoch=self._epoch)
        self._least_revision = revision

    # Redis

    def _take_up(self, link: RedisLink) -> None:
        """Begin with a Redis that has come, or come back: tell it what it may not know."""
        trips = self._trips.get(link)
        if trips is None:
            trips = self._trips[link] = RedisTrips(
                link,
                workers=self._share.workers,
                monotonic_ns=self._monotonic_ns,
                lease_us=self._lease_us,
                clocks=self._clocks,
                give_back=self._give_back,
                settle=self._alone.settle,
            )
        trips.epoch += 1
        self._epoch += 1
        if self._must_confirm:
            self._least_revision = math.inf
        self._hold_leases(link)
        self._send_unsent()

    def _is_patient(self, caller: SharedCaller, requests: int = 1) -> bool:
        """Say whether a wrong guess for a caller could exceed one of its limits."""
        now_us = self._monotonic_ns() // 1000
        return caller.is_near_a_limit(now_us, workers=self._share.workers, requests=requests)

    def _let_go(self, link: RedisLink) -> None:
        """Have whoever is far from its limits go on without a Redis that is late."""
        self._trips[link].let_go(self._is_patient)

    def _hold_leases(self, link: RedisLink) -> None:
        """Have Redis count what is in flight again, should it have lost that."""
        now_us = self._monotonic_ns() // 1000
        for tenant in self._known.tenants():
            if tenant.leases and self._nodes.link_of(tenant.slot) is link:
                count_held(tenant.leases, now_us)
                for lease, ends_us in tenant.leases.items():
                    self._trips[link].send(hold_of(tenant, lease, ends_us - now_us))

    def _follow_map(self) -> None:
        """Go on with the nodes that there are, and forget those that are gone and owe nothing."""
        self._send_unsent()
        for link in self._trips.keys() - set(self._nodes.links):
            trips = self._trips[link]
            if trips.is_idle and len(self._trips) > 1:  # one is kept for what has no node yet
                del self._trips[link]
                self._past.operations += trips.operations
                self._past.lost += trips.unsent.lost

    def _send_unsent(self) -> None:
        """Send what was kept to whoever is in charge of it now."""
        for trips in list(self._trips.values()):
            for release in trips.unsent.take():
                self._send(release)

    def _send(self, release: Release) -> None:
        link = self._nodes.link_of(release.tenant.slot)
        trips = self._trips.get(link)
        if trips is None:  # a node that was never there: keep it with any other
            trips = next(iter(self._trips.values()))
            trips.unsent.keep(release)
        else:
            trips.send(release)

    def _give_back(self, grant: SharedGrant) -> None:
        self._release_shared(grant, Outcome.REFUSED)

    def _release_shared(self, grant: SharedGrant, outcome: Outcome) -> None:
        if grant.is_released:
            return
        grant.is_released = True
        grant.caller.tenant.leases.pop(grant.lease, None)
        if grant.lease != NO_LEASE or outcome is not Outcome.COMPLETED:
            self._send(release_of(grant, outcome))


def _open(verdict: SharedGrant | LimitError | int, *, epoch: int) -> SharedGrant:
    """Return a verdict's grant.

    Raises:
        LimitError: it is a refusal.
        StaleCatalogue: it is a revision that the caller must know.
    """
    if isinstance(verdict, LimitError):
        raise verdict
    if isinstance(verdict, int):
        raise StaleCatalogue(newest=verdict, epoch=epoch)
    return verdict
