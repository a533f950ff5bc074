"""What a process grants alone while Redis is away or late, and how Redis hears of it.

Where Redis is late, each request that goes on alone is on its way there too: if Redis grants it,
that is its grant, and nothing was counted twice. Where Redis is away, or has no room any more, the
process owes it: the next call tells.
"""

from collections.abc import Callable

from gateway.limits.errors import LimitError
from gateway.limits.limiter import Outcome
from gateway.limits.local_limiter import LocalLimiter
from gateway.limits.redis_operations import Admission, LoneGrant, SharedGrant
from gateway.limits.shared_state import SharedCaller, count_held
from gateway.limits.shares import Share


class LoneDecisions:
    """Decide with this process's share of each limit.

    Concurrency: one event loop; no decision awaits anything.
    """

    def __init__(
        self,
        stand_in: LocalLimiter,
        *,
        share: Share,
        monotonic_ns: Callable[[], int],
        lease_us: int,
        release_shared: Callable[[SharedGrant, Outcome], None],
    ) -> None:
        """Decide by `stand_in`; `release_shared` ends a grant that came from Redis after all."""
        self._stand_in = stand_in
        self._share = share
        self._monotonic_ns = monotonic_ns
        self._lease_us = lease_us
        self._release_shared = release_shared
        self.made = 0
        """Requests that were decided here."""

    async def admit(self, admission: Admission) -> LoneGrant:
        """Grant a request from where Redis was when it last answered, or refuse it.

        Raises:
            LimitError: the share is used up; the error names the limits of all.
        """
        caller, now_us = admission.caller, self._monotonic_ns() // 1000
        policy, tenant = caller.policy, caller.tenant
        self.made += 1
        self._mirror(caller)
        share = self._share.of(policy, tenant, held=count_held(tenant.leases, now_us))
        try:
            inner = await self._stand_in.admit(
                share, units=admission.units, billed=admission.is_billed
            )
        except LimitError as error:
            error.policy = policy  # what the caller is told are the limits of all
            raise
        grant = LoneGrant(policy, inner.standing, caller, inner)
        if not admission.is_pending:
            self._owe(grant)
            return grant
        admission.alone, grant.is_pending = grant, True
        admission.doubted_units += inner.units
        tenant.doubted += inner.units
        if policy.max_in_flight is not None:
            tenant.doubted_leases[grant] = now_us + self._lease_us
        return grant

    def release(self, grant: LoneGrant, outcome: Outcome) -> None:
        """End the request wherever it is counted."""
        if grant.outcome is not None:
            return
        grant.outcome, tenant = outcome, grant.caller.tenant
        if grant.shared is not None:
            self._release_shared(grant.shared, outcome)
            return
        self._stand_in.release(grant.inner, outcome)
        tenant.local_leases.pop(grant, None)
        tenant.doubted_leases.pop(grant, None)
        if outcome is not Outcome.COMPLETED and not grant.is_pending:
            tenant.owe(grant.inner.period, -grant.inner.units)

    def settle(self, grant: LoneGrant, shared: SharedGrant | None) -> None:
        """Take what Redis granted late for the grant; None: it granted nothing."""
        grant.is_pending = False
        grant.caller.tenant.doubted_leases.pop(grant, None)
        if shared is None:
            self._owe(grant)
            return
        grant.shared = shared
        if grant.outcome is not Outcome.REFUSED:
            self._stand_in.forget(grant.inner)
        if grant.outcome is not None:
            self._release_shared(shared, grant.outcome)

    def _mirror(self, caller: SharedCaller) -> None:
        """Tell the stand-in what is known of Redis' counts since it was told last."""
        policy, tenant = caller.policy, caller.tenant
        if not tenant.is_mirrored:
            tenant.is_mirrored = True
            known = tenant.used + tenant.owed + tenant.doubted
            if tenant.period:
                self._stand_in.load_quota(policy.tenant_id, tenant.period, known)
        if not caller.is_mirrored:
            caller.is_mirrored = True
            self._stand_in.delay_idle(policy, caller.idle_at_us)

    def _owe(self, grant: LoneGrant) -> None:
        """Remember what Redis does not know of a grant."""
        caller, inner, outcome = grant.caller, grant.inner, grant.outcome
        tenant, now_us = caller.tenant, self._monotonic_ns() // 1000
        if outcome is not Outcome.REFUSED:
            drained_us = max(caller.local_idle_at_us, now_us)
            caller.local_idle_at_us = drained_us + caller.interval_us * self._share.workers
        if outcome is None or outcome is Outcome.COMPLETED:
            tenant.owe(inner.period, inner.units)
        if outcome is None and grant.policy.max_in_flight is not None:
            tenant.local_leases[grant] = now_us + self._lease_us
