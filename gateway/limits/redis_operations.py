"""What travels to Redis: one request to admit, or one admission to end.

Each is one string of sixteen big-endian doubles and the lease, as `gcra.lua` reads it: one argument
costs Redis and the packer a fraction of seventeen.
"""

import asyncio
import struct
from dataclasses import dataclass
from typing import Any

from gateway.limits.limiter import Grant, Outcome
from gateway.limits.local_limiter import LocalGrant
from gateway.limits.redis_replies import Told
from gateway.limits.shared_state import Keys, SharedCaller, SharedTenant

NO_LEASE = bytes(16)
NOT_COMPARED = -1
pack_operation = struct.Struct(">16d16s").pack
_REST_OF_RELEASE = (0,) * 9
_REST_OF_HOLD = (0,) * 14


@dataclass(slots=True, eq=False)
class SharedGrant(Grant):
    """An admission by Redis, with what a release has to undo."""

    caller: SharedCaller
    told: Told
    units: int
    lease: bytes
    is_released: bool = False


@dataclass(slots=True, eq=False)
class LoneGrant(Grant):
    """An admission by this process alone, while Redis was away or late.

    Where Redis was late, it hears of the request as of any other, and its grant takes the place of
    this one. What it does not hear of, or refuses, is owed.
    """

    caller: SharedCaller
    inner: LocalGrant
    outcome: Outcome | None = None
    """How the request ended; None: it has not."""

    is_pending: bool = False
    """Whether Redis' late answer is still to come."""

    shared: SharedGrant | None = None
    """What Redis granted late."""


@dataclass(slots=True, eq=False)
class Admission:
    """One request on its way to Redis."""

    caller: SharedCaller
    units: int
    is_billed: bool
    lease: bytes = NO_LEASE
    revision: int = NOT_COMPARED
    """The revision of the catalogue by which the caller was let in."""

    seen: int = NOT_COMPARED
    """The tenant's revision in Redis after which the catalogue was read once more."""

    owed: int = 0
    """The units that the tenant owed for `owed_period` when this request took them along."""

    owed_period: int = 0
    owed_idle_at_us: int = 0
    """What its caller's `local_idle_at_us` was when this request took that along."""

    owed_us: int = 0
    """How far that was ahead when the call came in doubt."""

    doubted_us: int = 0
    """What this request has added to its caller's `doubted_us`."""

    doubted_units: int = 0
    """What it has added to its tenant's `doubted`."""

    grant: SharedGrant | None = None
    is_abandoned: bool = False
    """Whether its caller went away while it travelled."""

    is_patient: bool = False
    """Whether its caller waits for the answer to a call in doubt."""

    late: "asyncio.Future[Any] | None" = None
    """The verdict of a call that has been in doubt."""

    alone: LoneGrant | None = None
    """What its caller went on with meanwhile."""

    @property
    def is_pending(self) -> bool:
        """Whether a call that is in doubt tells Redis of it."""
        return self.late is not None and not self.late.done()


@dataclass(slots=True, frozen=True)
class Release:
    """What Redis is to undo of one admission, or to hold of it."""

    tenant: SharedTenant
    keys: Keys
    packed: bytes
    period: int = 0
    is_repeatable: bool = True
    """Whether a second time does nothing, because it hangs on the lease."""


def release_of(grant: SharedGrant, outcome: Outcome) -> Release:
    """Write a release as the script reads it: a refusal by the server gives the rate back too."""
    told = grant.told
    interval_us = grant.caller.interval_us if outcome is Outcome.REFUSED else 0
    units = 0 if outcome is Outcome.COMPLETED else grant.units
    rate = (interval_us, told.slot_us, told.meter_since)
    quota = (units, told.period, told.units_since)
    packed = _pack_release(rate, quota, grant.lease)
    caller, is_repeatable = grant.caller, grant.lease != NO_LEASE
    return Release(caller.tenant, caller.keys, packed, told.period, is_repeatable)


def undo_of(admission: Admission) -> Release:
    """Undo an admission that Redis may have made and whose caller was then decided locally."""
    tenant = admission.caller.tenant
    quota = (admission.units, tenant.period, tenant.since)
    packed = _pack_release((0, 0, 0), quota, admission.lease)
    return Release(tenant, admission.caller.keys, packed, tenant.period)


def hold_of(tenant: SharedTenant, lease: bytes, remaining_us: int) -> Release:
    """Have Redis hold a lease of this process again; harmless where it still does."""
    keys = (tenant.units_key, tenant.units_key, tenant.leases_key)
    packed = pack_operation(2, remaining_us, *_REST_OF_HOLD, lease)
    return Release(tenant, keys, packed)


def _pack_release(rate: tuple[int, int, int], quota: tuple[int, int, int], lease: bytes) -> bytes:
    """Write interval, slot and meter's age, then units, period and hash's age."""
    return pack_operation(0, *rate, *quota, *_REST_OF_RELEASE, lease)
