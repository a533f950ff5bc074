"""Versions are registered by their content, and none changes it."""

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from auth.generation import Generation
from auth.tables import catalog_revision
from gateway.errors import VersionExists, VersionInUse, VersionUnavailable
from gateway.models.label_store import ModelStore
from gateway.models.records import CHAMPION
from inference.errors import ModelNotFound
from inference.version_policy import VersionPolicy
from tests.actors import TESTER
from tests.unit.gateway.models.versions import MODEL, found, held, publish, view_of

OTHER_DIGEST = "f" * 64


async def test_first_sight_of_a_model_serves_it(store: ModelStore) -> None:
    """Whatever a start finds of a model that nobody knows is served, by rising number."""
    await store.register_found([found("10"), found("9")], actor=TESTER, worker_id="w")
    view = await view_of(store)
    assert (view.visible, view.default) == (("9", "10"), "10")


async def test_known_versions_are_not_registered_again(
    store: ModelStore, generation: Generation
) -> None:
    """A start that finds nothing new changes nothing, and wakes nobody."""
    await store.register_found([found("1")], actor=TESTER, worker_id="w")
    before = generation.value
    await store.register_found([found("1")], actor=TESTER, worker_id="w")
    assert generation.value == before


async def test_new_version_of_a_served_model_is_prepared_where_others_serve(
    store: ModelStore,
) -> None:
    """A process that starts alone does not decide for those that run."""
    await store.register_found([found("1")], actor=TESTER, worker_id="w")
    await store.keep_lease("other", [])
    await store.register_found([found("1"), found("2")], actor=TESTER, worker_id="w")
    view = await view_of(store)
    assert view.visible == ("1",)
    assert view.preparing == {"2"}


async def test_pushed_version_is_not_visible_before_everybody_has_it(store: ModelStore) -> None:
    """Two processes serve; the second one's word makes it visible."""
    await publish(store, "1")
    for worker in ("a", "b"):
        await store.keep_lease(worker, [held("1")])
    await store.push(found("2"), actor=TESTER)
    await store.hold("a", held("2"))
    await store.settle(MODEL, actor=TESTER)
    assert (await view_of(store)).visible == ("1",)
    await store.hold("b", held("2"))
    await store.settle(MODEL, actor=TESTER)
    assert (await view_of(store)).visible == ("1", "2")


async def test_push_leaves_the_unnamed_version_as_it_was(store: ModelStore) -> None:
    """Who names no version goes on with the same one until somebody promotes another."""
    await publish(store, "1", "2")
    view = await view_of(store)
    assert (view.default, view.labels) == ("1", {CHAMPION: "1"})


async def test_version_that_one_process_cannot_load_is_refused(store: ModelStore) -> None:
    """It never becomes visible, and the reason is kept."""
    await publish(store, "1")
    await store.keep_lease("a", [held("1")])
    await store.push(found("2"), actor=TESTER)
    await store.hold("a", held("2", "its files have changed"))
    await store.settle(MODEL, actor=TESTER)
    record = (await store.read_book(MODEL)).versions["2"]
    assert (record.state, record.reason) == ("refused", "its files have changed")


async def test_number_does_not_change_its_files(store: ModelStore) -> None:
    """Bills and answers have named it."""
    await publish(store, "1")
    with pytest.raises(VersionExists):
        await store.push(found("1", digest=OTHER_DIGEST), actor=TESTER)


async def test_same_files_once_more_change_nothing(store: ModelStore) -> None:
    """A push that is repeated is no fault."""
    await publish(store, "1")
    first = (await store.read_book(MODEL)).versions["1"]
    assert await store.push(found("1"), actor=TESTER) == first


async def test_refused_number_can_be_pushed_again(store: ModelStore) -> None:
    """It never served, so it stands for nothing."""
    await store.refuse(found("1", digest=OTHER_DIGEST), "it is no model", actor=TESTER)
    await publish(store, "1")
    assert (await view_of(store)).visible == ("1",)


async def test_refusal_does_not_touch_a_version_that_serves(store: ModelStore) -> None:
    """A bad upload under a good number harms nobody."""
    await publish(store, "1")
    await store.refuse(found("1", digest=OTHER_DIGEST), "bad", actor=TESTER)
    assert (await view_of(store)).visible == ("1",)


async def test_retired_version_is_not_served(store: ModelStore) -> None:
    """The others are."""
    await publish(store, "1", "2")
    await store.retire(MODEL, "2", actor=TESTER)
    assert (await view_of(store)).visible == ("1",)


async def test_retired_version_comes_back_with_its_own_files(store: ModelStore) -> None:
    """Pushing the same again is how."""
    await publish(store, "1", "2")
    await store.retire(MODEL, "2", actor=TESTER)
    await publish(store, "2")
    assert (await view_of(store)).visible == ("1", "2")


async def test_labelled_version_is_not_retired(store: ModelStore) -> None:
    """Who calls the label would be left without an answer."""
    await publish(store, "1", "2")
    with pytest.raises(VersionInUse, match="champion"):
        await store.retire(MODEL, "1", actor=TESTER)


async def test_refused_version_cannot_be_retired(store: ModelStore) -> None:
    """There is nothing to withdraw."""
    await store.refuse(found("1"), "it is no model", actor=TESTER)
    with pytest.raises(VersionUnavailable):
        await store.retire(MODEL, "1", actor=TESTER)


async def test_unknown_version_is_not_found(store: ModelStore) -> None:
    """Neither of a known model nor of an unknown one."""
    await publish(store, "1")
    with pytest.raises(ModelNotFound):
        await store.retire(MODEL, "7", actor=TESTER)
    with pytest.raises(ModelNotFound):
        await store.set_loaded("nothing", is_loaded=False, actor=TESTER)


async def test_policy_leaves_old_versions_out(store: ModelStore) -> None:
    """But not the one that a label stands for."""
    await publish(store, "1", "2", "3", policy=VersionPolicy(latest=1))
    assert (await view_of(store)).visible == ("1", "3")


async def test_model_can_be_taken_out_of_service_and_back(store: ModelStore) -> None:
    """It comes back with the versions and labels that it had."""
    await publish(store, "1", "2")
    await store.set_loaded(MODEL, is_loaded=False, actor=TESTER)
    assert (await view_of(store)).visible == ()
    await store.set_loaded(MODEL, is_loaded=True, actor=TESTER)
    assert (await view_of(store)).labels == {CHAMPION: "1"}


async def test_every_change_counts_the_catalogue_up(
    store: ModelStore, engine: AsyncEngine, generation: Generation
) -> None:
    """So every process reads it with its next request: a push is two changes."""
    seen = generation.value
    await publish(store, "1")
    async with engine.connect() as connection:
        revision = await connection.scalar(select(catalog_revision.c.revision))
    assert generation.value == seen + 2
    assert (await store.read_changes(since=(revision or 0) - 1)).revision == revision


async def test_lists_every_version_by_number(store: ModelStore) -> None:
    """Ten comes after nine."""
    await publish(store, "10", "9")
    assert [record.version for record in await store.list_versions()] == ["9", "10"]
