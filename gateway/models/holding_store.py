"""Know which processes serve, and which versions each of them has in memory.

None of it is a change of the catalogue: no revision, no bump, or each process would wake all.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.catalogue import Catalogue
from gateway.models.records import Holding
from gateway.models.tables import REASON_CHARACTERS, model_holdings, model_workers

LEASE_SECONDS: Final = 15.0
"""A process that has not been seen for so long is not waited for."""


class HoldingStore(Catalogue):
    """Keep the leases of the processes that serve, and what they hold."""

    async def keep_lease(self, worker_id: str, holdings: Iterable[Holding]) -> None:
        """Say that a process serves, with what it holds should nobody know it any more.

        Leases that ended long ago are forgotten.
        """
        now = self._now()
        async with self._engine.begin() as connection:
            ended = model_workers.c.seen_at < now - 4 * timedelta(seconds=LEASE_SECONDS)
            await connection.execute(delete(model_workers).where(ended))
            mine = model_workers.c.worker_id == worker_id
            seen = await connection.execute(update(model_workers).where(mine).values(seen_at=now))
            if seen.rowcount:
                return
            await connection.execute(insert(model_workers).values(worker_id=worker_id, seen_at=now))
            for holding in holdings:
                await _put(connection, worker_id, holding)

    async def end_lease(self, worker_id: str) -> None:
        """Forget a process, and what it held."""
        async with self._engine.begin() as connection:
            await connection.execute(
                delete(model_workers).where(model_workers.c.worker_id == worker_id)
            )

    async def hold(self, worker_id: str, holding: Holding) -> None:
        """Say that a process has a version in memory, or why it has not."""
        async with self._engine.begin() as connection:
            await _take_away(connection, worker_id, holding)
            await _put(connection, worker_id, holding)

    async def let_go(self, worker_id: str, holding: Holding) -> None:
        """Say that a process is about to free a version."""
        async with self._engine.begin() as connection:
            await _take_away(connection, worker_id, holding)

    async def other_workers(self, worker_id: str) -> set[str]:
        """List the processes that serve beside one."""

        async def operation(connection: AsyncConnection) -> set[str]:
            return await live_workers(connection, now=self._now()) - {worker_id}

        return await self._read(operation)


async def live_workers(connection: AsyncConnection, *, now: datetime) -> set[str]:
    """List the processes that serve."""
    cutoff = now - timedelta(seconds=LEASE_SECONDS)
    found = await connection.scalars(
        select(model_workers.c.worker_id).where(model_workers.c.seen_at >= cutoff)
    )
    return set(found)


async def reports_of(
    connection: AsyncConnection, name: str, version: str, *, digest: str
) -> dict[str, str]:
    """Read what the processes say of a version: by process, empty where it is in memory."""
    held = model_holdings.c
    rows = await connection.execute(
        select(held.worker_id, held.reason).where(
            held.name == name, held.version == version, held.digest == digest
        )
    )
    return {row.worker_id: row.reason for row in rows}


async def _put(connection: AsyncConnection, worker_id: str, holding: Holding) -> None:
    await connection.execute(
        insert(model_holdings).values(
            worker_id=worker_id,
            name=holding.name,
            version=holding.version,
            digest=holding.digest,
            reason=holding.reason[:REASON_CHARACTERS],
        )
    )


async def _take_away(connection: AsyncConnection, worker_id: str, holding: Holding) -> None:
    held = model_holdings.c
    await connection.execute(
        delete(model_holdings).where(
            held.worker_id == worker_id,
            held.name == holding.name,
            held.version == holding.version,
        )
    )
