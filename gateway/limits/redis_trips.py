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
    NOT_COMPARED,
    Admission,
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

Clocks = Callable[[], tuple[int, int]]
Operation = Admission | Release
Verdict = SharedGrant | LimitError | int | None
"""Admitted; refused; the tenant's newest revision, which the caller must know; not decided."""


class RedisTrips:
    """Carry admissions and releases to one Redis.

    Concurrency: one event loop; one call at a time.
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
    ) -> None:
        """Ride on `link` as one of `workers`.

        `give_back` ends an admission whose caller went away on the way.
        """
        self._link = link
        self._workers = workers
        self._monotonic_ns = monotonic_ns
        self._lease_us = lease_us
        self._clocks = clocks
        self._give_back = give_back
        self._coalescer: Coalescer[Operation, Verdict] = Coalescer(
            self._dispatch, max_batch=_MAX_BATCH, max_waiting=_MAX_WAITING
        )
        self._lease_name = secrets.token_bytes(8)
        self._lease_number = 0
        self._doubted: list[SharedCaller] = []
        self.unsent = Unsent()
        self.operations = 0
        """Operations of all calls that were sent; by `LinkCounters.trips`: the mean batch."""

        self.epoch = 0
        """How often the link has come up."""

    async def drain(self) -> None:
        """Wait until nothing waits and nothing is under way."""
        await self._coalescer.drain()

    async def admit(
        self,
        caller: SharedCaller,
        *,
        units: int,
        billed: bool,
        revision: int = NOT_COMPARED,
        seen: int = NOT_COMPARED,
    ) -> Verdict:
        """Return Redis' verdict, or None if it is away.

        A caller that is cancelled on the way gives back what it got.
        """
        lease = NO_LEASE if caller.policy.max_in_flight is None else self._next_lease()
        admission = Admission(caller, units if billed else 0, billed, lease, revision, seen)
        try:
            admission.verdict = self._coalescer.submit(admission)
            return await admission.verdict
        except CoalescerFull:
            return None
        except asyncio.CancelledError:
            admission.is_abandoned = True
            if admission.grant is not None:
                self._give_back(admission.grant)
            raise

    def let_go(self, is_patient: Callable[[SharedCaller, int], bool]) -> None:
        """Have all callers but the patient ones go on without the answer that they wait for.

        Should it come, they give back what it brings. A caller is asked for with the number of its
        requests.
        """
        waiting = [item for item in self._coalescer.pending() if isinstance(item, Admission)]
        requests = Counter(id(operation.caller) for operation in waiting)
        for operation in waiting:
            self._doubt(operation)
            if is_patient(operation.caller, requests[id(operation.caller)]):
                continue
            operation.is_abandoned = True
            if operation.verdict is not None and not operation.verdict.done():
                operation.verdict.set_result(None)

    def _doubt(self, admission: Admission) -> None:
        """Remember what a call in doubt has taken along; nothing where it was not sent yet."""
        caller, now_us = admission.caller, self._monotonic_ns() // 1000
        admission.owed_us = max(0, admission.owed_idle_at_us - now_us)
        caller.tenant.doubted += admission.owed
        caller.doubted_us += admission.owed_us
        self._doubted.append(caller)

    def _settle(self) -> None:
        """Forget what was in doubt, once it is known what became of it."""
        for caller in self._doubted:
            caller.doubted_us = caller.tenant.doubted = 0
        self._doubted = []

    def send(self, release: Release) -> None:
        """Tell of the end of an admission with the next call; nobody waits for it."""
        if not self._link.is_up:
            self.unsent.keep(release)
            return
        try:
            self._coalescer.submit(release)
        except CoalescerFull:
            self.unsent.keep(release)

    def _next_lease(self) -> bytes:
        self._lease_number += 1
        return self._lease_name + self._lease_number.to_bytes(8)

    # The way there

    def _dispatch(self, batch: list[Operation]) -> "asyncio.Future[Sequence[Verdict]]":
        """Start one call for everybody who waits."""
        self.operations += len(batch)
        groups = _by_slot(batch) if self._link.is_member else [range(len(batch))]
        commands = [self._command([batch[at] for at in group]) for group in groups]
        landing: asyncio.Future[Sequence[Verdict]] = asyncio.get_running_loop().create_future()
        trip = self._link.call(commands)
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
        if self._doubted:
            self._settle()
        verdicts: list[Verdict] = [None] * len(batch)
        if replies is None:
            for operation in batch:
                self.unsent.keep_unknown(operation)
        for group, reply in zip(groups, replies or [], strict=replies is not None):
            found = self._verdicts([batch[at] for at in group], reply)
            for at, verdict in zip(group, found, strict=True):
                verdicts[at] = verdict
        landing.set_result(verdicts)

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
