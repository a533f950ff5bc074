"""The keys in memory."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

from auth.changes import read_changes
from auth.errors import KeysetUnavailable, TenantNotFound
from auth.generation import Generation
from auth.keyset import Keyset
from auth.store import Store
from auth.tenants import Tenant
from tests.actors import TESTER


class LoadCounter:
    """Count the transactions of an engine."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.count = 0
        event.listen(engine.sync_engine, "begin", self._begin)

    def _begin(self, _connection: object) -> None:
        self.count += 1


async def test_new_keyset_is_stale(keyset: Keyset) -> None:
    """Nothing is accepted before the first load."""
    assert not keyset.is_current()
    await keyset.refresh()
    assert keyset.is_current()


async def test_change_by_another_process_makes_it_stale(
    keyset: Keyset, cli_store: Store, tenant: Tenant
) -> None:
    """The command line's change is noticed and then known."""
    await keyset.refresh()
    issued = await cli_store.create_key(
        tenant.tenant_id, actor=TESTER, name="k", scopes=["predict"]
    )
    assert not keyset.is_current()
    await keyset.refresh()
    assert keyset.find(issued.key.key_id) is not None


async def test_refresh_reads_only_what_changed(
    engine: AsyncEngine, store: Store, tenant: Tenant
) -> None:
    """A thousand keys are not read again for one."""
    for _ in range(5):
        await store.create_key(tenant.tenant_id, actor=TESTER, name="k", scopes=["predict"])
    before = await read_changes(engine, since=0)
    issued = await store.create_key(tenant.tenant_id, actor=TESTER, name="k", scopes=["predict"])
    after = await read_changes(engine, since=before.revision)
    assert [record.credential.credential_id for record in after.records] == [issued.key.key_id]
    assert (after.tenants, after.plans) == ((), ())


async def test_waiting_callers_share_one_load(keyset: Keyset, engine: AsyncEngine) -> None:
    """A hundred requests after a change cost one read."""
    loads = LoadCounter(engine)
    await asyncio.gather(*(keyset.refresh() for _ in range(100)))
    assert loads.count == 1


async def test_load_from_before_a_change_does_not_satisfy_a_later_check(
    keyset: Keyset, engine: AsyncEngine, generation: Generation
) -> None:
    """Whoever asks after a change waits for a load that began after it."""
    loads = LoadCounter(engine)
    early = asyncio.create_task(keyset.refresh())
    await asyncio.sleep(0)
    generation.bump()
    await asyncio.gather(*(keyset.refresh() for _ in range(10)))
    assert keyset.is_current()
    assert loads.count == 2
    await early


async def test_load_that_is_done_and_not_yet_forgotten_is_not_awaited_for_ever(
    keyset: Keyset, generation: Generation
) -> None:
    """A caller in the loop's same round would spin, and the load never be forgotten."""
    await keyset.refresh()
    done = asyncio.ensure_future(asyncio.sleep(0))
    await done
    keyset._load = done
    generation.bump()
    await keyset.refresh()
    assert keyset.is_current()


async def test_cancelled_caller_does_not_cancel_the_load(keyset: Keyset) -> None:
    """A caller that goes away takes nothing from the others."""
    leaving = asyncio.create_task(keyset.refresh())
    staying = asyncio.create_task(keyset.refresh())
    await asyncio.sleep(0)
    leaving.cancel()
    await staying
    assert keyset.is_current()


async def test_stale_keyset_without_sql_says_so_and_heals(
    keyset: Keyset, engine: AsyncEngine, generation: Generation
) -> None:
    """A keyset that is known to be stale is not used; it recovers by itself."""
    await keyset.refresh()
    generation.bump()
    await _rename(engine, "catalog_revision", "away")
    with pytest.raises(KeysetUnavailable):
        await keyset.refresh()
    assert not keyset.is_current()
    await _rename(engine, "away", "catalog_revision")
    await keyset.refresh()
    assert keyset.is_current()


async def test_current_keyset_needs_no_sql(keyset: Keyset, engine: AsyncEngine) -> None:
    """A database that is away is no reason to refuse known keys."""
    await keyset.refresh()
    await _rename(engine, "catalog_revision", "away")
    assert keyset.is_current()


async def test_hung_sql_is_given_up(engine: AsyncEngine, generation: Generation) -> None:
    """A load that gets no connection has an end."""
    keyset = Keyset(engine, generation=generation, timeout_seconds=0.01)
    async with AsyncExitStack() as held:
        for _ in range(_most_connections(engine)):
            await held.enter_async_context(engine.connect())
        with pytest.raises(KeysetUnavailable):
            await keyset.refresh()


async def test_rejected_change_leaves_the_keyset_usable(
    keyset: Keyset, store: Store, generation: Generation
) -> None:
    """Nobody has to wait for a reload after a write that failed."""
    await keyset.refresh()
    before = generation.value
    with pytest.raises(TenantNotFound):
        await store.create_key("ten_unknown", actor=TESTER, name="k", scopes=["predict"])
    assert generation.value == before
    assert keyset.is_current()


async def test_caller_that_leaves_does_not_stop_a_write(
    keyset: Keyset, store: Store, tenant: Tenant
) -> None:
    """A change that was begun is finished and announced."""
    issued = await store.create_key(tenant.tenant_id, actor=TESTER, name="k", scopes=["predict"])
    await keyset.refresh()
    leaving = asyncio.create_task(
        store.revoke_key(tenant.tenant_id, issued.key.key_id, actor=TESTER)
    )
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait(store._writes)
    assert not keyset.is_current()
    await keyset.refresh()
    entry = keyset.find(issued.key.key_id)
    assert entry is not None
    assert entry.is_revoked


async def _rename(engine: AsyncEngine, old: str, new: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))


def _most_connections(engine: AsyncEngine) -> int:
    pool = engine.sync_engine.pool
    assert isinstance(pool, QueuePool)
    return pool.size() + pool._max_overflow
