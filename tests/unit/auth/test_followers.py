"""Rows of others that are kept in memory with the keys."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.followers import Apply
from auth.keyset import Keyset
from auth.store import Store
from auth.tables import plans
from tests.actors import TESTER


class PlanNames:
    """Hold the names of plans, as a part of the server would that owns a table."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.asked_since: list[int] = []

    async def read(self, connection: AsyncConnection, *, since: int) -> Apply:
        """Read the names that are new."""
        self.asked_since.append(since)
        found = await connection.scalars(select(plans.c.name).where(plans.c.revision > since))
        names = set(found)

        def apply() -> None:
            self.names |= names

        return apply


async def create_plan(store: Store, name: str) -> None:
    """Change the catalogue."""
    await store.create_plan(
        actor=TESTER,
        name=name,
        requests_per_second=None,
        burst=None,
        units_per_month=None,
        max_in_flight=None,
    )


async def test_follower_has_its_rows_when_the_keys_are_there(keyset: Keyset, store: Store) -> None:
    """Whoever waited for the keys finds the others' rows too."""
    follower = PlanNames()
    keyset.follow(follower)
    await create_plan(store, "gold")
    await keyset.refresh()
    assert follower.names == {"gold"}


async def test_follower_is_asked_for_changes_alone(
    keyset: Keyset, store: Store, cli_store: Store
) -> None:
    """What another process changed is read once, after the revision that is known."""
    follower = PlanNames()
    keyset.follow(follower)
    await create_plan(store, "gold")
    await keyset.refresh()
    known = keyset.revision
    await create_plan(cli_store, "silver")
    await keyset.refresh()
    assert (follower.asked_since, follower.names) == ([0, known], {"gold", "silver"})
