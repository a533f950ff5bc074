"""The calls to one Redis: everybody who waits shares the next one.

Each call carries requests to admit and admissions to end, in the order in which they came, and
with them what the process admitted while Redis was away. To a node of a cluster it is one call of
the script for each hash slot, sent together.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from gateway.coalescer import Coalescer, CoalescerFull
from gateway.limits.errors import LimitError
from gateway.limits.redis_address import Argument
from gateway.limits.redis_link import Command, RedisLink, Replies, Reply
from gateway.limits.redis_operations import (
    NO_LEASE,
    Admission,
    LoneGrant,
    Release,
    SharedGrant,
    pack_operation,
)
from gateway.limits.redis_replies import (
    ADMISSION_WIDTH,
    STALE,
    Told,
    read_refusal,
    read_standing,
)
from gateway.limits.redis_unsent import Unsent
from gateway.limits.shared_state import SharedCaller, count_held

_MAX_BATCH = 256
_MAX_WAITING = 65_536
_HEADER_WIDTH = 2

_NAME_BYTES = 7
_NUMBER_BYTES = 4
_UNITS_BYTES = 5
_MOST_UNITS = (1 << 8 * _UNITS_BYTES) - 1

Clocks = Callable[[], tuple[int, int]]
Operation = Admission | Release
Verdict = SharedGrant | LimitError | int | None
"""Admitted; refused; the tenant's newest revision, which the caller must know; not decided."""


class RedisTrips:
    """Carry admissions and releases to one Redis.

    Concurrency: one event loop; one call at a time, but for those in doubt: the next one is sent
    behind them.
    """

    def __init__(
        self,
        link: RedisLink,
        *,
        workers: int,
        monotonic_ns: Callable[[], int],
        lease_us: int,
        clocks: Clocks | None,
        give_back: Callable[[SharedGrant], None],
        settle: Callable[[LoneGrant, SharedGrant | None], None],
    ) -> None:
        """Ride on `link` as one of `workers`.

        `give_back` ends an admission whose caller went away on the way, `settle` takes it for what
        its caller went on with alone.
        """
        self._link = link
        self._workers = workers
        self._monotonic_ns = monotonic_ns
        self._lease_us = lease_us
        self._clocks = clocks
        self._give_back = give_back
        self._settle = settle
        self._coalescer: Coalescer[Operation, Verdict] = Coalescer(
            self._dispatch, max_batch=_MAX_BATCH, max_waiting=_MAX_WAITING
        )
        self._lease_name = secrets.token_bytes(_NAME_BYTES)
        self._lease_number = 0
        self._sent: list[Operation] = []
        self._landing: asyncio.Future[Sequence[Verdict]] | None = None
        self._calls: set[asyncio.Future[Replies | None]] = set()
        self.unsent = Unsent()
        self.operations = 0
        """Operations of all calls that were sent; by `LinkCounters.trips`: the mean batch."""

        self.epoch = 0
        """How often the link has come up."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits, nothing is under way and nothing is kept for later."""
        return self._coalescer.is_idle and not self._calls and not self.unsent.is_kept

    async def drain(self) -> None:
        """Wait until nothing waits and nothing is under way."""
        await self._coalescer.drain()
        while self._calls:
            await asyncio.wait(self._calls)
            await self._coalescer.drain()

    async def admit(self, admission: Admission) -> Verdict:
        """Return Redis' verdict, or None if it is away, or late for a caller that need not wait.

        A caller that is cancelled on the way gives back what it got.
        """
        if admission.caller.cap >= 0:
            admission.lease = self._next_lease(admission.units if admission.is_billed else 0)
        try:
            verdict = await self._coalescer.submit(admission)
            if admission.late is not None and (admission.is_patient or admission.late.done()):
                verdict = await admission.late
        except CoalescerFull:
            return None
        except asyncio.CancelledError:
            self._abandon(admission)
            raise
        return verdict

    async def wait_for(self, admission: Admission) -> Verdict:
        """Return the verdict of a call in doubt after all, or None if Redis was given up."""
        if admission.late is None:
            return None
        try:
            verdict: Verdict = await admission.late
        except asyncio.CancelledError:
            self._abandon(admission)
            raise
        return verdict

    def _abandon(self, admission: Admission) -> None:
        """Give back what Redis granted for a request, or will grant."""
        admission.is_abandoned = True
        if admission.grant is not None:
            self._give_back(admission.grant)

    def let_go(self, is_patient: Callable[[SharedCaller, int], bool]) -> None:
        """Have all callers but the patient ones go on without the answer that they wait for.

        Should it come, its grants are theirs. A caller is asked for with the number of its
        requests. The call is on its way, so the next one can follow.
        """
        sent, self._sent = self._sent, []
        doubted = [operation for operation in sent if isinstance(operation, Admission)]
        requests = Counter(id(operation.caller) for operation in doubted)
        for operation in doubted:
            self._doubt(operation)
        for operation in doubted:
            operation.is_patient = is_patient(operation.caller, requests[id(operation.caller)])
        for operation in doubted:
            self._count_doubted(operation)
        if self._landing is not None and not self._landing.done():
            self._landing.set_result([None] * len(sent))

    def _doubt(self, admission: Admission) -> None:
        """Remember what a call in doubt has taken along."""
        caller, now_us = admission.caller, self._monotonic_ns() // 1000
        admission.late = asyncio.get_running_loop().create_future()
        admission.owed_us = max(0, admission.owed_idle_at_us - now_us)
        admission.doubted_us, admission.doubted_units = admission.owed_us, admission.owed
        caller.doubted_us += admission.owed_us
        caller.tenant.doubted += admission.owed

    def _count_doubted(self, admission: Admission) -> None:
        """Remember the request itself as well; alone it is granted at the rate of a share."""
        caller = admission.caller
        used_us = caller.interval_us * (1 if admission.is_patient else self._workers)
        admission.doubted_us += used_us
        caller.doubted_us += used_us
        if admission.is_patient:  # else it is counted when it is granted
            admission.doubted_units += admission.units
            caller.tenant.doubted += admission.units

    def _clear_up(self, admission: Operation, verdict: Verdict) -> None:
        """Pass a late verdict on to whoever waits for it or went on without it."""
        if isinstance(admission, Release):
            return
        admission.caller.doubted_us -= admission.doubted_us
        admission.caller.tenant.doubted -= admission.doubted_units
        if admission.late is not None and not admission.late.done():
            admission.late.set_result(verdict)
        if admission.alone is not None:
            self._settle(admission.alone, admission.grant)

    def send(self, release: Release) -> None:
        """Tell of the end of an admission with the next call; nobody waits for it."""
        if not self._link.is_up:
            self.unsent.keep(release)
            return
        try:
            self._coalescer.submit(release)
        except CoalescerFull:
            self.unsent.keep(release)

    def _next_lease(self, units: int) -> bytes:
        """Name a lease by process and number, with its units, which `units.lua` reads there.

        The number begins anew after hours, which no lease lasts.
        """
        self._lease_number = (self._lease_number + 1) % (1 << 8 * _NUMBER_BYTES)
        number = self._lease_number.to_bytes(_NUMBER_BYTES)
        return self._lease_name + number + min(units, _MOST_UNITS).to_bytes(_UNITS_BYTES)

    # The way there

    def _dispatch(self, batch: list[Operation]) -> "asyncio.Future[Sequence[Verdict]]":
        """Start one call for everybody who waits."""
        self.operations += len(batch)
        groups = _by_slot(batch) if self._link.is_member else [range(len(batch))]
        commands = [self._command([batch[at] for at in group]) for group in groups]
        landing: asyncio.Future[Sequence[Verdict]] = asyncio.get_running_loop().create_future()
        self._sent, self._landing = batch, landing
        trip = self._link.call(commands)
        self._calls.add(trip)
        trip.add_done_callback(partial(self._land, batch, groups, landing=landing))
        return landing

    def _command(self, operations: list[Operation]) -> Command:
        """Write one call of the script."""
        rate_us, wall_us = self._clocks() if self._clocks else ("", "")
        keys: list[str] = []
        arguments: list[Argument] = [rate_us, wall_us, self._lease_us]
        now_us = self._monotonic_ns() // 1000
        for operation in operations:
            if isinstance(operation, Release):
                keys.extend(operation.keys)
                arguments.append(operation.packed)
            else:
                keys.extend(operation.caller.keys)
                arguments.append(self._pack_admission(operation, now_us))
        return keys, arguments

    def _pack_admission(self, admission: Admission, now_us: int) -> bytes:
        """Write one admission as the script reads it, with what the process owes Redis."""
        caller = admission.caller
        tenant, cap = caller.tenant, caller.cap
        held = told_us = owed_us = 0
        if cap >= 0:
            held = count_held(tenant.leases, now_us)
            cap = max(0, cap - count_held(tenant.local_leases, now_us))
        known_us = max(0, caller.idle_at_us - now_us)
        if caller.epoch != self.epoch:  # it may have lost the meter, or its clock have jumped
            caller.epoch = self.epoch
            told_us = known_us
        if caller.local_idle_at_us:
            owed_us = max(0, caller.local_idle_at_us - now_us) // self._workers
            admission.owed_idle_at_us, caller.local_idle_at_us = caller.local_idle_at_us, 0
        admission.owed, admission.owed_period = tenant.owed, tenant.period
        tenant.owed = 0
        return pack_operation(
            1,
            caller.interval_us,
            caller.capacity_us,
            admission.units if admission.is_billed else -1,
            caller.limit,
            cap,
            known_us,
            told_us,
            owed_us,
            held,
            tenant.since,
            tenant.period,
            tenant.used,
            admission.owed,
            admission.revision,
            admission.seen,
            admission.lease,
        )

    # The way back

    def _land(
        self,
        batch: list[Operation],
        groups: Sequence[Sequence[int]],
        trip: "asyncio.Future[Replies | None]",
        *,
        landing: "asyncio.Future[Sequence[Verdict]]",
    ) -> None:
        replies = trip.result()
        self._calls.discard(trip)
        if landing is self._landing:
            self._sent, self._landing = [], None
        verdicts: list[Verdict] = [None] * len(batch)
        if replies is None:
            for operation in batch:
                self.unsent.keep_unknown(operation)
        for group, reply in zip(groups, replies or [], strict=replies is not None):
            found = self._verdicts([batch[at] for at in group], reply)
            for at, verdict in zip(group, found, strict=True):
                verdicts[at] = verdict
        if not landing.done():  # it was never in doubt
            landing.set_result(verdicts)
            return
        for operation, verdict in zip(batch, verdicts, strict=True):
            self._clear_up(operation, verdict)

    def _verdicts(self, operations: list[Operation], reply: Reply | None) -> Iterator[Verdict]:
        """Read the reply of one call, one verdict for each operation."""
        if reply is None:
            for operation in operations:
                self.unsent.keep_undone(operation)
                yield None
            return
        period, left_us = reply[:_HEADER_WIDTH]
        now_us = self._monotonic_ns() // 1000
        position = _HEADER_WIDTH
        for operation in operations:
            if isinstance(operation, Release):
                tenant, used = operation.tenant, reply[position]
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
        caller.told_at_us = now_us
        caller.is_mirrored = False
        if told.refusal == STALE:
            return told.slot_us
        standing = read_standing(policy, told)
        if told.refusal:
            return read_refusal(policy, told, standing)
        grant = SharedGrant(policy, standing, caller, told, admission.units, admission.lease)
        if grant.lease != NO_LEASE:
            tenant.leases[grant.lease] = now_us + self._lease_us
        admission.grant = grant
        if admission.is_abandoned:
            self._give_back(grant)
        return grant


def _by_slot(batch: list[Operation]) -> list[list[int]]:
    """Return the positions of the operations of each hash slot, in the order they came in."""
    groups: dict[int, list[int]] = {}
    for at, operation in enumerate(batch):
        tenant = operation.tenant if isinstance(operation, Release) else operation.caller.tenant
        groups.setdefault(tenant.slot, []).append(at)
    return list(groups.values())
