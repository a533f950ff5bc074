"""What travels to Redis: one request to admit, or one admission to end.

Each is one string of thirteen big-endian doubles and the lease, as `gcra.lua` reads it: one
argument costs Redis and the packer a fraction of fourteen.
"""

import struct
from dataclasses import dataclass

from gateway.limits.limiter import Grant, Outcome
from gateway.limits.redis_replies import Told
from gateway.limits.shared_state import SharedCaller

NO_LEASE = bytes(16)
pack_operation = struct.Struct(">13d16s").pack


@dataclass(slots=True, eq=False)
class SharedGrant(Grant):
    """An admission by Redis, with what a release has to undo."""

    caller: SharedCaller
    told: Told
    units: int
    lease: bytes
    is_released: bool = False


@dataclass(slots=True, eq=False)
class Admission:
    """One request on its way to Redis."""

    caller: SharedCaller
    units: int
    is_billed: bool
    lease: bytes
    owed: int = 0
    """The units that the tenant owed for `owed_period` when this request took them along."""

    owed_period: int = 0
    grant: SharedGrant | None = None
    is_abandoned: bool = False
    """Whether its caller went away while it travelled."""


@dataclass(slots=True, frozen=True)
class Release:
    """What Redis is to undo of one admission."""

    caller: SharedCaller
    packed: bytes
    period: int
    is_repeatable: bool
    """Whether a second time does nothing, because it hangs on the lease."""


def release_of(grant: SharedGrant, outcome: Outcome) -> Release:
    """Write a release as the script reads it: a refusal by the server gives the rate back too."""
    told = grant.told
    interval_us = grant.caller.interval_us if outcome is Outcome.REFUSED else 0
    units = 0 if outcome is Outcome.COMPLETED else grant.units
    rate = (interval_us, told.slot_us, told.meter_since)
    quota = (units, told.period, told.units_since)
    packed = _pack_release(rate, quota, grant.lease)
    return Release(grant.caller, packed, told.period, is_repeatable=grant.lease != NO_LEASE)


def undo_of(admission: Admission) -> Release:
    """Undo an admission that Redis may have made and whose caller was then decided locally."""
    tenant = admission.caller.tenant
    quota = (admission.units, tenant.period, tenant.since)
    packed = _pack_release((0, 0, 0), quota, admission.lease)
    return Release(admission.caller, packed, tenant.period, is_repeatable=True)


def _pack_release(rate: tuple[int, int, int], quota: tuple[int, int, int], lease: bytes) -> bytes:
    """Write interval, slot and meter's age, then units, period and hash's age."""
    return pack_operation(0, *rate, *quota, 0, 0, 0, 0, 0, 0, lease)
