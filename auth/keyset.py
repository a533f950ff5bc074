"""Every credential of the catalogue in memory, kept as fresh as the last answered change."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from auth.changes import Changes, read_changes
from auth.entries import CredentialEntry, CredentialRecord, build_entry
from auth.errors import KeysetUnavailable
from auth.followers import Follower
from auth.generation import Generation
from auth.revoked_tokens import RevokedTokens
from auth.signing_keys import KeyRing, Purpose
from auth.tenants import Plan, Tenant

_NEVER_LOADED: Final = -1


class Keyset:
    """Find credentials in memory and read from SQL only what changed.

    Before a request is authenticated the caller asks `is_current()` and awaits `refresh()` if it
    is not: then no change that was answered before the request is missed. Used from one event
    loop only.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        generation: Generation,
        now: Callable[[], float] = time.time,
        timeout_seconds: float = 5.0,
    ) -> None:
        """Start empty and stale; `now` gives epoch seconds, one load from SQL is bounded."""
        self._engine = engine
        self._generation = generation
        self._timeout_seconds = timeout_seconds
        self._plans: dict[str, Plan] = {}
        self._tenants: dict[str, Tenant] = {}
        self._records: dict[str, CredentialRecord] = {}
        self._entries: dict[str, CredentialEntry] = {}
        self._ids_by_tenant: dict[str, set[str]] = {}
        self._revision = 0
        self._loaded_generation = _NEVER_LOADED
        self._load: asyncio.Task[None] | None = None
        self._load_generation = _NEVER_LOADED
        self._load_number = 0
        self._followers: list[Follower] = []
        self.ring = KeyRing()
        """The signing keys of access tokens."""
        self.receipt_ring = KeyRing()
        """The signing keys of receipts."""
        self.revoked_tokens = RevokedTokens(now=now)
        self.refreshes = 0
        """Times that SQL was read since the start."""
        self.read_at = time.monotonic()
        """When SQL was last read, on the clock `time.monotonic`; the start before the first."""

    @property
    def revision(self) -> int:
        """The revision of the catalogue up to which every change is in memory."""
        return self._revision

    def follow(self, follower: Follower) -> None:
        """Have rows of others read with every load; call it before the first one."""
        self._followers.append(follower)

    def is_current(self) -> bool:
        """Tell whether every change that was answered by now is in memory."""
        return self._generation.value == self._loaded_generation

    def find(self, credential_id: str) -> CredentialEntry | None:
        """Return what is known of a credential."""
        return self._entries.get(credential_id)

    async def refresh(self) -> None:
        """Read from SQL what changed; everyone who waits shares one load.

        A load that began before a change cannot have seen it, so whoever asks after the change
        waits for the next load. A load that is done may not have been forgotten yet; awaiting it
        gives the loop no turn in which that could happen.

        Raises:
            KeysetUnavailable: the database cannot be read.
        """
        wanted = self._generation.value
        await self._load_until(lambda: self._load_generation >= wanted)

    async def confirm(self) -> None:
        """Read from SQL in a load that begins after this call; everyone who waits shares one.

        The generation tells of changes on this machine alone. Whoever must know of those that were
        answered elsewhere asks SQL; where nothing changed, that is one row.

        Raises:
            KeysetUnavailable: the database cannot be read.
        """
        wanted = self._load_number + 1
        await self._load_until(lambda: self._load_number >= wanted)

    async def _load_until(self, is_late_enough: Callable[[], bool]) -> None:
        """Wait for loads, one after the other, until one was begun late enough."""
        while True:
            load = self._load
            if load is None or load.done():
                load = self._start_load()
            suffices = is_late_enough()
            await asyncio.shield(load)
            if suffices:
                return

    def _start_load(self) -> asyncio.Task[None]:
        self._load_number += 1
        self._load_generation = self._generation.value
        self._load = asyncio.create_task(self._read(self._load_generation))
        self._load.add_done_callback(self._forget_load)
        return self._load

    def _forget_load(self, load: asyncio.Task[None]) -> None:
        if self._load is load:
            self._load = None
        if not load.cancelled():
            load.exception()  # seen by us, should every waiter be gone

    async def _read(self, generation: int) -> None:
        """Load and apply; `generation` was read before the database is."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                changes = await read_changes(
                    self._engine, since=self._revision, followers=self._followers
                )
        except (SQLAlchemyError, OSError) as error:
            raise KeysetUnavailable("the keys in SQL cannot be read") from error
        self._apply(changes)
        self._loaded_generation = generation
        self.refreshes += 1
        self.read_at = time.monotonic()

    def _apply(self, changes: Changes) -> None:
        for ring, purpose in ((self.ring, Purpose.ACCESS), (self.receipt_ring, Purpose.RECEIPT)):
            ring.apply(key for key in changes.signing_keys if key.purpose is purpose)
        self.revoked_tokens.apply(changes.revoked_tokens)
        stale = {record.credential.credential_id for record in changes.records}
        self._plans.update((plan.plan_id, plan) for plan in changes.plans)
        self._tenants.update((tenant.tenant_id, tenant) for tenant in changes.tenants)
        for record in changes.records:
            credential = record.credential
            self._records[credential.credential_id] = record
            ids = self._ids_by_tenant.setdefault(credential.tenant_id, set())
            ids.add(credential.credential_id)
        for tenant_id in self._touched_tenants(changes):
            stale |= self._ids_by_tenant.get(tenant_id, set())
        for credential_id in stale:
            self._entries[credential_id] = self._entry(self._records[credential_id])
        for apply in changes.followed:
            apply()
        self._revision = changes.revision

    def _touched_tenants(self, changes: Changes) -> set[str]:
        plan_ids = {plan.plan_id for plan in changes.plans}
        touched = {tenant.tenant_id for tenant in changes.tenants}
        if plan_ids:
            touched |= {
                tenant.tenant_id for tenant in self._tenants.values() if tenant.plan_id in plan_ids
            }
        return touched

    def _entry(self, record: CredentialRecord) -> CredentialEntry:
        tenant = self._tenants[record.credential.tenant_id]
        plan = self._plans[tenant.plan_id] if tenant.plan_id else None
        entry = build_entry(record, tenant, plan)
        known = self._entries.get(record.credential.credential_id)
        if known is not None and known.principal == entry.principal:
            return replace(entry, principal=known.principal)
        return entry
