"""Labels move between versions, once everybody has them."""

import pytest

from auth.audit_log import AuditWish
from auth.errors import InvalidChange
from auth.store import Store
from gateway.errors import NothingBefore, VersionUnavailable
from gateway.models.holding_store import LEASE_SECONDS
from gateway.models.label_store import ModelStore
from gateway.models.records import CHAMPION
from inference.errors import ModelNotFound
from inference.version_policy import VersionPolicy
from tests.actors import TESTER
from tests.unit.auth.conftest import FakeClock
from tests.unit.gateway.models.versions import MODEL, found, held, publish, view_of


async def promote(store: ModelStore, version: str) -> None:
    """Make a version the champion."""
    await store.set_label(MODEL, CHAMPION, version=version, actor=TESTER)


async def test_champion_answers_where_no_version_is_named(store: ModelStore) -> None:
    """Whatever numbers there are."""
    await publish(store, "1", "2", "3")
    await promote(store, "2")
    assert (await view_of(store)).default == "2"


async def test_label_waits_for_everybody(store: ModelStore) -> None:
    """It stands for what it stood for until the last process has the version."""
    await publish(store, "1", "2")
    await store.keep_lease("a", [held("1"), held("2")])
    await store.keep_lease("b", [held("1")])
    await promote(store, "2")
    assert (await view_of(store)).default == "1"
    await store.hold("b", held("2"))
    await store.settle(MODEL, actor=TESTER)
    assert (await view_of(store)).default == "2"


async def test_process_that_is_gone_is_not_waited_for(store: ModelStore, clock: FakeClock) -> None:
    """Its lease has run out."""
    await publish(store, "1", "2")
    await store.keep_lease("dead", [])
    clock.advance(LEASE_SECONDS + 1)
    await promote(store, "2")
    assert (await view_of(store)).default == "2"


async def test_process_that_ended_is_not_waited_for(store: ModelStore) -> None:
    """It said so."""
    await publish(store, "1", "2")
    await store.keep_lease("a", [])
    await store.end_lease("a")
    await promote(store, "2")
    assert (await view_of(store)).default == "2"


async def test_process_that_was_forgotten_tells_again_what_it_holds(
    store: ModelStore, clock: FakeClock
) -> None:
    """It was suspended for so long that its lease was swept away."""
    await publish(store, "1", "2")
    await store.keep_lease("slow", [held("2")])
    clock.advance(10 * LEASE_SECONDS)
    await store.keep_lease("other", [held("2")])
    await store.keep_lease("slow", [held("2")])
    await promote(store, "2")
    assert (await view_of(store)).default == "2"


async def test_label_that_cannot_move_stays(store: ModelStore) -> None:
    """A process could not load the version again."""
    await publish(store, "1", "2", policy=VersionPolicy(latest=1))
    await promote(store, "2")
    await store.keep_lease("a", [held("2")])
    await promote(store, "1")
    await store.hold("a", held("1", "no memory"))
    await store.settle(MODEL, actor=TESTER)
    label = (await store.read_book(MODEL)).labels[CHAMPION]
    assert (label.version, label.pending) == ("2", None)


async def test_rollback_returns_step_by_step(store: ModelStore) -> None:
    """Two promotions take two rollbacks."""
    await publish(store, "1", "2", "3")
    await promote(store, "2")
    await promote(store, "3")
    await store.roll_back(MODEL, CHAMPION, actor=TESTER)
    assert (await view_of(store)).default == "2"
    await store.roll_back(MODEL, CHAMPION, actor=TESTER)
    assert (await view_of(store)).default == "1"
    with pytest.raises(NothingBefore):
        await store.roll_back(MODEL, CHAMPION, actor=TESTER)


async def test_rollback_passes_over_what_was_retired(store: ModelStore) -> None:
    """It goes to the last version that is still served."""
    await publish(store, "1", "2", "3")
    await promote(store, "2")
    await promote(store, "3")
    await store.retire(MODEL, "2", actor=TESTER)
    await store.roll_back(MODEL, CHAMPION, actor=TESTER)
    assert (await view_of(store)).default == "1"


async def test_back_and_forth_can_be_rolled_back(store: ModelStore) -> None:
    """Promoting an old version is a promotion, not a return."""
    await publish(store, "1", "2")
    await promote(store, "2")
    await promote(store, "1")
    await store.roll_back(MODEL, CHAMPION, actor=TESTER)
    assert (await view_of(store)).default == "2"


async def test_rollback_waits_for_everybody(store: ModelStore) -> None:
    """The version before was freed, and is loaded again first."""
    await publish(store, "1", "2", policy=VersionPolicy(latest=1))
    await promote(store, "2")
    await store.keep_lease("a", [held("2")])
    await store.roll_back(MODEL, CHAMPION, actor=TESTER)
    assert (await view_of(store)).preparing == {"1"}
    await store.hold("a", held("1"))
    await store.settle(MODEL, actor=TESTER)
    assert (await view_of(store)).default == "1"


async def test_move_can_be_given_up(store: ModelStore) -> None:
    """Nothing is left to happen later."""
    await publish(store, "1", "2")
    await store.keep_lease("a", [])
    await promote(store, "2")
    await store.abandon(MODEL, CHAMPION, actor=TESTER)
    assert (await view_of(store)).preparing == set()


async def test_label_of_ones_own_can_be_taken_away(store: ModelStore) -> None:
    """Then its version can be retired."""
    await publish(store, "1", "2")
    await store.set_label(MODEL, "canary", version="2", actor=TESTER)
    assert (await view_of(store)).labels["canary"] == "2"
    await store.remove_label(MODEL, "canary", actor=TESTER)
    await store.retire(MODEL, "2", actor=TESTER)
    assert (await view_of(store)).visible == ("1",)


async def test_retired_version_gets_no_label(store: ModelStore) -> None:
    """It is not served."""
    await publish(store, "1", "2")
    await store.retire(MODEL, "2", actor=TESTER)
    with pytest.raises(VersionUnavailable):
        await promote(store, "2")


@pytest.mark.parametrize("label", ["", "1", "2nd", "a b", "a/b", "x" * 65, "é"])
async def test_label_is_a_word(store: ModelStore, label: str) -> None:
    """One that could be a number, or that a path cannot hold, is refused."""
    await publish(store, "1")
    with pytest.raises(InvalidChange):
        await store.set_label(MODEL, label, version="1", actor=TESTER)


async def test_unknown_model_has_no_labels(store: ModelStore) -> None:
    """Nor anything to return to."""
    with pytest.raises(ModelNotFound):
        await promote(store, "1")
    with pytest.raises(ModelNotFound):
        await store.roll_back(MODEL, CHAMPION, actor=TESTER)


async def test_every_change_is_in_the_audit_log(store: ModelStore, catalogue: Store) -> None:
    """Under the model's name, in the order in which it happened."""
    await publish(store, "1", "2")
    await promote(store, "2")
    await store.retire(MODEL, "1", actor=TESTER)
    await store.push(found("3"), actor=TESTER)
    wish = AuditWish(tenant_id=None, action=None, target=MODEL, start_us=None, end_us=None)
    entries = await catalogue.list_entries(wish, after=0, limit=100)
    assert [entry.action for entry in entries] == [
        *("model.push", "model.serve"),
        *("model.label", "model.push", "model.serve"),
        *("model.label", "model.retire", "model.push"),
    ]
