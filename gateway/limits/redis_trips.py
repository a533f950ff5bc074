"""The calls to Redis: everybody who waits shares the next one.

Each call carries requests to admit and admissions to end, in the order in which they came, and
with them what the process admitted while Redis was away.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from gateway.coalescer import Coalescer, CoalescerFull
from gateway.limits.errors import LimitError
from gateway.limits.limiter import Outcome
from gateway.limits.local_limiter import LocalLimiter
from gateway.limits.redis_link import Argument, RedisLink, Reply
from gateway.limits.redis_operations import (
    NO_LEASE,
    Admission,
    Release,
    SharedGrant,
    pack_operation,
    release_of,
    undo_of,
)
from gateway.limits.redis_replies import ADMISSION_WIDTH, Told, read_refusal, read_standing
from gateway.limits.shared_state import SharedCaller, count_held

_MAX_BATCH = 256
_MAX_WAITING = 65_536
_MAX_UNSENT = 65_536
_HEADER_WIDTH = 2

Clocks = Callable[[], tuple[int, int]]
Verdict = SharedGrant | LimitError | None


class RedisTrips:
    """Carry admissions and releases to Redis, and keep what could not be told.

    Concurrency: one event loop; one call at a time. What Redis may have done without our knowing is
    told again only where a second time does nothing; the rest stays consumed, never more.
    """

    def __init__(
        self,
        link: RedisLink,
        *,
        stand_in: LocalLimiter,
        monotonic_ns: Callable[[], int],
        lease_us: int,
        clocks: Clocks | None,
    ) -> None:
        self._link = link
        self._stand_in = stand_in
        self._monotonic_ns = monotonic_ns
        self._lease_us = lease_us
        self._clocks = clocks
        self._coalescer: Coalescer[Admission | Release, Verdict] = Coalescer(
            self._dispatch, max_batch=_MAX_BATCH, max_waiting=_MAX_WAITING
        )
        self._lease_name = secrets.token_bytes(8)
        self._lease_number = 0
        self._unsent: list[Release] = []
        self.lost_releases = 0
        link.on_up = self._send_unsent

    async def drain(self) -> None:
        """Wait until nothing waits and nothing is under way."""
        await self._coalescer.drain()

    async def admit(self, caller: SharedCaller, *, units: int, billed: bool) -> Verdict:
        """Return Redis' verdict, or None if it is away.

        A caller that is cancelled on the way gives back what it got.
        """
        lease = NO_LEASE if caller.policy.max_in_flight is None else self._next_lease()
        admission = Admission(caller, units if billed else 0, billed, lease)
        try:
            return await self._coalescer.submit(admission)
        except CoalescerFull:
            return None
        except asyncio.CancelledError:
            admission.is_abandoned = True
            if admission.grant is not None:
                self.release(admission.grant, Outcome.REFUSED)
            raise

    def release(self, grant: SharedGrant, outcome: Outcome) -> None:
        """End an admission with the next call; nobody waits for it."""
        if grant.is_released:
            return
        grant.is_released = True
        grant.caller.tenant.leases.pop(grant.lease, None)
        if grant.lease != NO_LEASE or outcome is not Outcome.COMPLETED:
            self._send(release_of(grant, outcome))

    def _next_lease(self) -> bytes:
        self._lease_number += 1
        return self._lease_name + self._lease_number.to_bytes(8)

    # The way there

    def _dispatch(self, batch: list[Admission | Release]) -> "asyncio.Future[Sequence[Verdict]]":
        """Start one call for everybody who waits."""
        rate_us, wall_us = self._clocks() if self._clocks else ("", "")
        keys: list[str] = []
        arguments: list[Argument] = [rate_us, wall_us, self._lease_us]
        now_us = self._monotonic_ns() // 1000
        for operation in batch:
            keys.extend(operation.caller.keys)
            if isinstance(operation, Release):
                arguments.append(operation.packed)
            else:
                arguments.append(self._pack_admission(operation, now_us))
        landing: asyncio.Future[Sequence[Verdict]] = asyncio.get_running_loop().create_future()
        trip = self._link.call(keys, arguments)
        trip.add_done_callback(partial(self._land, batch, landing))
        return landing

    def _pack_admission(self, admission: Admission, now_us: int) -> bytes:
        """Write one admission as the script reads it, with what the process owes Redis."""
        caller = admission.caller
        tenant, cap = caller.tenant, caller.cap
        held = owed_us = 0
        if cap >= 0:
            held = count_held(tenant.leases, now_us)
            cap = max(0, cap - count_held(tenant.local_leases, now_us))
        if caller.is_local:
            caller.is_local = False
            owed_us = max(0, self._stand_in.idle_at_us(caller.policy) - now_us)
        admission.owed, admission.owed_period = tenant.owed, tenant.period
        tenant.owed = 0
        return pack_operation(
            1,
            caller.interval_us,
            caller.capacity_us,
            admission.units if admission.is_billed else -1,
            caller.limit,
            cap,
            max(0, caller.idle_at_us - now_us),
            owed_us,
            held,
            tenant.since,
            tenant.period,
            tenant.used,
            admission.owed,
            admission.lease,
        )

    # The way back

    def _land(
        self,
        batch: list[Admission | Release],
        landing: "asyncio.Future[Sequence[Verdict]]",
        trip: "asyncio.Future[Reply | None]",
    ) -> None:
        reply = trip.result()
        if reply is None:
            for operation in batch:
                self._keep_unsent(operation)
            landing.set_result([None] * len(batch))
        else:
            landing.set_result(list(self._verdicts(batch, reply)))

    def _verdicts(self, batch: list[Admission | Release], reply: Reply) -> Iterator[Verdict]:
        """Read the reply, one verdict for each operation."""
        period, left_us = reply[:_HEADER_WIDTH]
        now_us = self._monotonic_ns() // 1000
        position = _HEADER_WIDTH
        for operation in batch:
            if isinstance(operation, Release):
                tenant, used = operation.caller.tenant, reply[position]
                position += 1
                if used >= 0 and operation.period == tenant.period:
                    tenant.learn(tenant.since, tenant.period, used)
                yield None
                continue
            told = Told(period, left_us, *reply[position : position + ADMISSION_WIDTH])
            position += ADMISSION_WIDTH
            yield self._learn(operation, told, now_us)

    def _learn(self, admission: Admission, told: Told, now_us: int) -> Verdict:
        """Remember what Redis said of one admission, and return it as a grant or a refusal."""
        caller = admission.caller
        policy, tenant = caller.policy, caller.tenant
        if told.units_since:
            tenant.learn(told.units_since, told.period, told.used)
        caller.idle_at_us = now_us + told.ahead_us
        caller.is_mirrored = False
        standing = read_standing(policy, told)
        if told.refusal:
            return read_refusal(policy, told, standing)
        grant = SharedGrant(policy, standing, caller, told, admission.units, admission.lease)
        if grant.lease != NO_LEASE:
            tenant.leases[grant.lease] = now_us + self._lease_us
        admission.grant = grant
        if admission.is_abandoned:
            self.release(grant, Outcome.REFUSED)
        return grant

    # What could not be told

    def _send(self, release: Release) -> None:
        if not self._link.is_up:
            self._remember(release)
            return
        try:
            self._coalescer.submit(release)
        except CoalescerFull:
            self._remember(release)

    def _keep_unsent(self, operation: Admission | Release) -> None:
        """Keep what can be told again without harm; Redis may or may not have done it."""
        if isinstance(operation, Admission):
            operation.caller.is_local = True
            operation.caller.tenant.owe(operation.owed_period, operation.owed)
            if operation.lease != NO_LEASE:
                self._remember(undo_of(operation))
        elif operation.is_repeatable:
            self._remember(operation)
        else:
            self.lost_releases += 1

    def _remember(self, release: Release) -> None:
        if len(self._unsent) < _MAX_UNSENT:
            self._unsent.append(release)
        else:
            self.lost_releases += 1

    def _send_unsent(self) -> None:
        unsent, self._unsent = self._unsent, []
        for release in unsent:
            self._send(release)
