"""A pepper that the keys were not made with is found before it refuses or makes keys."""

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from auth.errors import PepperMismatch
from auth.generation import Generation
from auth.secret_files import VersionedSecret
from auth.secret_marks import check_marks, secret_marks
from auth.store import Store
from auth.tables import api_keys
from auth.tenants import PLATFORM_TENANT_ID
from tests.actors import TESTER
from tests.unit.auth.conftest import PEPPER, PEPPERS, SEALER, FakeClock

OTHER = VersionedSecret({1: b"another one of them, just as long as it"})


async def test_any_pepper_will_do_before_the_first_key(engine: AsyncEngine, store: Store) -> None:
    """Nothing depends on it yet, so an operator may still choose."""
    await store.create_tenant(actor=TESTER, name="Acme", plan_id=None, models=["*"])
    await check_marks(engine, "pepper", PEPPERS)
    await check_marks(engine, "pepper", OTHER)


async def test_another_pepper_is_refused_after_the_first_key(
    engine: AsyncEngine, store: Store
) -> None:
    """Every key would be refused under it."""
    await store.create_key(PLATFORM_TENANT_ID, actor=TESTER, name="admin", scopes=["predict"])
    await check_marks(engine, "pepper", PEPPERS)
    with pytest.raises(PepperMismatch):
        await check_marks(engine, "pepper", OTHER)


async def test_no_key_is_made_with_a_second_pepper(
    *, engine: AsyncEngine, store: Store, generation: Generation, clock: FakeClock
) -> None:
    """A process that started before the first key was made finds out when it makes one."""
    other = Store(engine, pepper=OTHER, sealer=SEALER, generation=generation, now=clock.aware)
    await store.create_key(PLATFORM_TENANT_ID, actor=TESTER, name="admin", scopes=["predict"])
    with pytest.raises(PepperMismatch):
        await other.create_key(PLATFORM_TENANT_ID, actor=TESTER, name="lost", scopes=["predict"])
    async with engine.connect() as connection:
        assert (await connection.scalars(select(api_keys.c.name))).all() == ["admin"]


async def test_mark_does_not_show_the_pepper(engine: AsyncEngine, store: Store) -> None:
    """What is stored is a digest."""
    await store.create_key(PLATFORM_TENANT_ID, actor=TESTER, name="admin", scopes=["predict"])
    async with engine.connect() as connection:
        mark = await connection.scalar(select(secret_marks.c.mark))
    assert mark is not None
    assert len(mark) == 32
    assert PEPPER not in mark
