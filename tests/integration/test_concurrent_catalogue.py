"""Several processes change the catalogue in one PostgreSQL at once, and a reader misses nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from auth.changes import read_changes
from auth.generation import Generation
from auth.sealing import Sealer
from auth.secret_files import VersionedSecret
from auth.store import Store
from gateway.database import create_engine
from tests.actors import TESTER

PEPPER = VersionedSecret({1: b"a pepper for tests, long enough to be one"})
SEALER = Sealer(VersionedSecret({1: b"a sealing key for tests, long enough too"}))
WRITERS = 4
KEYS_EACH = 15


@dataclass
class Reader:
    """Follow the catalogue as a server does, by what changed since the last reading."""

    engine: AsyncEngine
    revision: int = 0
    revoked: set[str] = field(default_factory=set)

    async def read(self) -> None:
        """Read what changed."""
        changes = await read_changes(self.engine, since=self.revision)
        assert changes.revision >= self.revision
        self.revision = changes.revision
        found = (record.credential for record in changes.records)
        self.revoked |= {one.credential_id for one in found if one.revoked_at}

    async def keep_reading(self) -> None:
        """Read again and again until cancelled."""
        while True:
            await self.read()


@pytest.fixture
async def stores(migrated_postgres: str, tmp_path: Path) -> AsyncIterator[list[Store]]:
    """Open the stores of several processes."""
    async with contextlib.AsyncExitStack() as stack:
        opened = []
        for number in range(WRITERS):
            engine = create_engine(migrated_postgres)
            stack.push_async_callback(engine.dispose)
            generation = Generation(tmp_path / f"generation-{number}")
            stack.callback(generation.close)
            opened.append(
                Store(
                    engine,
                    pepper=PEPPER,
                    sealer=SEALER,
                    generation=generation,
                    now=lambda: datetime.now(UTC),
                )
            )
        yield opened


async def test_no_revocation_is_missed(stores: list[Store], migrated_postgres: str) -> None:
    """Revisions become visible in order, so a reader that goes on from the last has seen all."""
    tenant = await stores[0].create_tenant(actor=TESTER, name="t", plan_id=None, models=["*"])
    engine = create_engine(migrated_postgres)
    reader = Reader(engine)
    following = asyncio.create_task(reader.keep_reading())

    async def write(store: Store) -> set[str]:
        revoked = set()
        for _ in range(KEYS_EACH):
            issued = await store.create_key(
                tenant.tenant_id, actor=TESTER, name="k", scopes=["predict"]
            )
            await store.revoke_key(tenant.tenant_id, issued.key.key_id, actor=TESTER)
            revoked.add(issued.key.key_id)
        return revoked

    written = await asyncio.gather(*map(write, stores))
    following.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await following
    await reader.read()
    assert reader.revoked == set().union(*written)
    assert len(reader.revoked) == WRITERS * KEYS_EACH
    await engine.dispose()


async def test_times_of_use_are_written_by_all_workers_at_once(stores: list[Store]) -> None:
    """Whatever order they learned of the keys in, none of them is given up as a deadlock."""
    tenant = await stores[0].create_tenant(actor=TESTER, name="t", plan_id=None, models=["*"])
    keys = [
        (
            await stores[0].create_key(tenant.tenant_id, actor=TESTER, name="k", scopes=["predict"])
        ).key.key_id
        for _ in range(50)
    ]
    now = datetime.now(UTC)
    for turn in range(4):
        at = now + timedelta(seconds=turn)
        used = [dict.fromkeys(keys if number % 2 else keys[::-1], at) for number in range(WRITERS)]
        await asyncio.gather(
            *(store.touch_last_used(times) for store, times in zip(stores, used, strict=True))
        )
    found = await stores[0].get_key(tenant.tenant_id, keys[0])
    assert found.last_used_at == now + timedelta(seconds=3)
