"""How the catalogue is read and written: one transaction, one revision, one event, one bump."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, TypeVar

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from auth.actor import Actor
from auth.audit import Audited
from auth.audit_log import append_events
from auth.changes import READ_ONLY
from auth.digests import Digest, Digester
from auth.generation import Generation
from auth.sealing import Sealer
from auth.secret_files import VersionedSecret
from auth.secret_marks import keep_mark
from auth.tables import catalog_revision

Result = TypeVar("Result")
Part = TypeVar("Part", bound="Catalogue")
Operation = Callable[[AsyncConnection], Awaitable[Result]]
Change = Callable[[AsyncConnection, int], Awaitable[Audited[Result]]]
Announce = Callable[[str, int], Awaitable[None]]
"""Tell servers that share no generation with us of a tenant's new revision; it never fails."""

EVERY_TENANT: Final = ""
"""Announced as a tenant's id, says that the change decides every tenant's requests."""


async def announce_to_nobody(_tenant_id: str, _revision: int) -> None:
    """Leave it at the generation, where every server works in the same data folder."""


class Catalogue:
    """Run operations on the catalogue's tables.

    A write first counts up the one row of `catalog_revision`: whoever holds that row commits
    before the next writer gets its number, so revisions become visible in order and a reader that
    has seen one has seen all below it. After the commit it bumps the generation and announces the
    revision to servers on other machines, and only then does the caller get its answer.

    A write that failed does neither: its caller was promised nothing, and while the database is
    away every request would have to wait for a reload that fails. Should its commit be done all the
    same, the reload in the background finds it.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        pepper: VersionedSecret,
        sealer: Sealer,
        generation: Generation,
        now: Callable[[], datetime],
        announce: Announce = announce_to_nobody,
    ) -> None:
        """Keep the records in `engine`; `now` gives aware times."""
        self._engine = engine
        self._reading = engine.execution_options(**READ_ONLY)
        self._pepper = pepper
        self._digester = Digester(pepper)
        self._sealer = sealer
        self._generation = generation
        self._clock = now
        self._announce = announce
        self._writes: set[asyncio.Task[object]] = set()

    def part(self, kind: type[Part]) -> Part:
        """Return a part of the catalogue with tables of its own, over the same records."""
        return kind(
            self._engine,
            pepper=self._pepper,
            sealer=self._sealer,
            generation=self._generation,
            now=self._clock,
            announce=self._announce,
        )

    def _now(self) -> datetime:
        return self._clock().astimezone(UTC)

    async def _read(self, operation: Operation[Result]) -> Result:
        async with self._reading.connect() as connection:
            return await operation(connection)

    async def _write(
        self, change: Change[Result], *, actor: Actor, tenant_id: str | None = None
    ) -> Result:
        """Apply a change with the revision to stamp on the rows that it touches.

        What the change says that it did is in the audit log when it is done, in the actor's name.
        `tenant_id` is whose requests the change can decide, if anybody's.

        Threat: a caller that went away between commit and bump would leave a revoked key alive,
        so the write is a task of its own that nobody's cancellation reaches.
        """
        write = asyncio.create_task(self._transact(change, actor, tenant_id))
        self._writes.add(write)
        write.add_done_callback(self._writes.discard)
        return await asyncio.shield(write)

    async def _digest(self, connection: AsyncConnection, text: str) -> Digest:
        """Return what is stored of a secret, in the transaction that stores it.

        Raises:
            PepperMismatch: the secrets that are there were made with another pepper.
        """
        await keep_mark(connection, "pepper", self._pepper)
        return self._digester.digest(text)

    async def _transact(
        self, change: Change[Result], actor: Actor, tenant_id: str | None
    ) -> Result:
        async with self._engine.begin() as connection:
            revision = await next_revision(connection)
            audited = await change(connection, revision)
            await append_events(connection, audited.events, actor=actor, at=self._now())
        self._generation.bump()
        if tenant_id is not None:
            await self._announce(tenant_id, revision)
        return audited.result


async def next_revision(connection: AsyncConnection) -> int:
    """Count the catalogue up; until the transaction ends nobody else can."""
    counted = await connection.execute(
        update(catalog_revision)
        .values(revision=catalog_revision.c.revision + 1)
        .returning(catalog_revision.c.revision)
    )
    revision: int = counted.scalar_one()
    return revision
