"""Trials in SQL: how they begin and end, and what the workers add up in them."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from auth.audit_log import AuditWish
from auth.errors import InvalidChange
from auth.generation import Generation
from auth.keyset import Keyset
from auth.store import Store
from gateway.errors import TrialNotFound, VersionInUse, VersionUnavailable
from gateway.models.label_store import ModelStore
from gateway.models.records import CHAMPION
from gateway.models.trial_counts import TrialBook
from gateway.models.trial_store import TrialStore, Wish
from gateway.models.trials import RouteFollower
from inference.agreement import compare_answers
from inference.errors import ModelNotFound
from inference.registry import Registry
from inference.router import Router
from inference.routing import Route
from tests.actors import TESTER
from tests.unit.gateway.models.versions import MODEL, found, publish, view_of

SPLIT = Wish(challenger="2", weight=0.25)


@pytest.fixture
async def published(store: ModelStore) -> ModelStore:
    """Serve versions 1, the champion, and 2."""
    await publish(store, "1", "2")
    return store


async def actions_of(catalogue: Store) -> list[str]:
    """List what the audit log tells."""
    entries = await catalogue.list_entries(AuditWish(), after=0, limit=100)
    return [entry.action for entry in entries]


def seen_by_a_worker(route: Route, *, requests: int = 1) -> TrialBook:
    """Count some requests that the champion answered, and one that was compared."""
    book = TrialBook()
    for _ in range(requests):
        book.answered(route, "1", rows=2, seconds=0.01)
    ours, theirs = {"y": np.array([1.0, 2.0])}, {"y": np.array([1.0, 3.0])}
    book.compared(route, "1", compare_answers(ours, theirs, tolerance=0.0))
    return book


async def test_trial_is_read_as_it_began(published: ModelStore, trials: TrialStore) -> None:
    """Every number comes back."""
    wish = Wish(challenger="2", weight=0.1, sticky="request", budget=0.2, tolerance=0.05)
    begun = await trials.begin_trial(MODEL, wish, actor=TESTER)
    assert await trials.get_trial(MODEL) == begun
    assert begun.is_on
    assert (begun.route.weight, begun.route.sticky, begun.route.budget) == (0.1, "request", 0.2)
    assert (await view_of(published)).labels["challenger"] == "2"


@pytest.mark.usefixtures("published")
async def test_same_wish_goes_on_counting(trials: TrialStore, catalogue: Store) -> None:
    """A script may say the same every day."""
    begun = await trials.begin_trial(MODEL, SPLIT, actor=TESTER)
    told = await actions_of(catalogue)
    assert await trials.begin_trial(MODEL, SPLIT, actor=TESTER) == begun
    assert await actions_of(catalogue) == told


@pytest.mark.usefixtures("published")
async def test_other_weight_counts_anew(trials: TrialStore) -> None:
    """Shares by different weights are not added up."""
    first = await trials.begin_trial(MODEL, SPLIT, actor=TESTER)
    await trials.add_counts(seen_by_a_worker(first.route).take())
    second = await trials.begin_trial(MODEL, replace(SPLIT, weight=0.5), actor=TESTER)
    assert second.route.trial > first.route.trial
    assert (await trials.get_counts(second)).served == {}


@pytest.mark.usefixtures("published")
async def test_late_worker_adds_nothing_to_the_next_trial(trials: TrialStore) -> None:
    """What was seen under the earlier weights is left out."""
    first = await trials.begin_trial(MODEL, SPLIT, actor=TESTER)
    await trials.begin_trial(MODEL, replace(SPLIT, weight=0.5), actor=TESTER)
    await trials.add_counts(seen_by_a_worker(first.route).take())
    assert (await trials.get_counts(first)).served == {}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"weight": 1.5}, "weight"),
        ({"weight": float("nan")}, "weight"),
        ({"budget": -0.1}, "budget"),
        ({"tolerance": 2.0}, "tolerance"),
        ({"weight": 0.0}, "budget"),
        ({"sticky": "moon"}, "sticky"),
        ({"challenger": "two"}, "challenger"),
        ({"challenger": "1"}, "challenger"),
    ],
)
@pytest.mark.usefixtures("published")
async def test_wish_out_of_range_is_refused(
    trials: TrialStore, changes: dict[str, object], field: str
) -> None:
    """The field that is wrong is named."""
    with pytest.raises(InvalidChange) as refusal:
        await trials.begin_trial(MODEL, replace(SPLIT, **changes), actor=TESTER)  # type: ignore[arg-type]
    assert refusal.value.field == field


@pytest.mark.usefixtures("published")
async def test_unknown_challenger_is_refused(trials: TrialStore) -> None:
    """A version that nobody registered cannot be tried."""
    with pytest.raises(ModelNotFound):
        await trials.begin_trial(MODEL, replace(SPLIT, challenger="9"), actor=TESTER)


async def test_version_that_is_not_served_is_refused(
    published: ModelStore, trials: TrialStore
) -> None:
    """One that some worker still prepares cannot be tried yet."""
    await published.keep_lease("worker", [])
    await published.push(found("3"), actor=TESTER)
    with pytest.raises(VersionUnavailable):
        await trials.begin_trial(MODEL, replace(SPLIT, challenger="3"), actor=TESTER)


async def test_ended_trial_keeps_what_it_showed(published: ModelStore, trials: TrialStore) -> None:
    """Until the next one begins; the label goes at once."""
    begun = await trials.begin_trial(MODEL, SPLIT, actor=TESTER)
    await trials.add_counts(seen_by_a_worker(begun.route).take())
    ended = await trials.end_trial(MODEL, actor=TESTER)
    assert not ended.is_on
    assert (await trials.get_counts(ended)).served["1"].requests == 1
    assert "challenger" not in (await view_of(published)).labels


@pytest.mark.usefixtures("published")
async def test_trial_ends_once(trials: TrialStore, catalogue: Store) -> None:
    """Ending it again changes nothing, and tells nothing."""
    await trials.begin_trial(MODEL, SPLIT, actor=TESTER)
    await trials.end_trial(MODEL, actor=TESTER)
    await trials.end_trial(MODEL, actor=TESTER)
    assert (await actions_of(catalogue)).count("model.trial.end") == 1


async def test_unknown_trial_is_told(trials: TrialStore) -> None:
    """A model that was never on trial has none to end or to read."""
    with pytest.raises(TrialNotFound):
        await trials.get_trial(MODEL)
    with pytest.raises(TrialNotFound):
        await trials.end_trial(MODEL, actor=TESTER)


async def test_promotion_of_the_challenger_ends_the_trial(
    published: ModelStore, trials: TrialStore, catalogue: Store
) -> None:
    """One call moves the champion, ends the trial and takes the label away."""
    await trials.begin_trial(MODEL, SPLIT, actor=TESTER)
    await published.set_label(MODEL, CHAMPION, version="2", actor=TESTER)
    assert not (await trials.get_trial(MODEL)).is_on
    view = await view_of(published)
    assert (view.default, dict(view.labels)) == ("2", {"champion": "2"})
    assert "model.trial.end" in await actions_of(catalogue)


async def test_rollback_brings_the_champion_back_without_a_trial(
    published: ModelStore, trials: TrialStore
) -> None:
    """The trial of before is not on again."""
    await trials.begin_trial(MODEL, SPLIT, actor=TESTER)
    await published.set_label(MODEL, CHAMPION, version="2", actor=TESTER)
    await published.roll_back(MODEL, CHAMPION, actor=TESTER)
    assert (await view_of(published)).default == "1"
    assert not (await trials.get_trial(MODEL)).is_on


async def test_version_on_trial_is_not_retired(published: ModelStore, trials: TrialStore) -> None:
    """Its label says that it is in use."""
    await trials.begin_trial(MODEL, SPLIT, actor=TESTER)
    with pytest.raises(VersionInUse):
        await published.retire(MODEL, "2", actor=TESTER)
    await trials.end_trial(MODEL, actor=TESTER)
    await published.retire(MODEL, "2", actor=TESTER)


@pytest.mark.usefixtures("published")
async def test_counts_of_workers_add_up_without_loss(trials: TrialStore) -> None:
    """Twenty that hand in at once are all there."""
    route = (await trials.begin_trial(MODEL, SPLIT, actor=TESTER)).route
    books = [seen_by_a_worker(route, requests=number) for number in range(1, 21)]
    await asyncio.gather(*(trials.add_counts(book.take()) for book in books))
    counts = await trials.get_counts(await trials.get_trial(MODEL))
    assert counts.served["1"].requests == sum(range(1, 21))
    assert counts.served["1"].rows == 2 * sum(range(1, 21))
    assert counts.pairs["1:2"].agreed.rows == 40
    assert counts.pairs["1:2"].outputs["y"].difference.mean == pytest.approx(0.5)


@pytest.mark.usefixtures("published")
async def test_handing_in_wakes_no_server(trials: TrialStore, generation: Generation) -> None:
    """Statistics are no change of the catalogue."""
    route = (await trials.begin_trial(MODEL, SPLIT, actor=TESTER)).route
    before = generation.value
    await trials.add_counts(seen_by_a_worker(route).take())
    assert generation.value == before


@pytest.mark.usefixtures("published")
async def test_servers_follow_with_the_catalogue(
    trials: TrialStore, engine: AsyncEngine, generation: Generation
) -> None:
    """A trial that began or ended is in force with the next request, in every process."""
    router, keyset = Router(Registry([], [])), Keyset(engine, generation=generation)
    keyset.follow(RouteFollower(router))
    begun = await trials.begin_trial(MODEL, SPLIT, actor=TESTER)
    await keyset.refresh()
    assert router.routes == {MODEL: begun.route}
    await trials.end_trial(MODEL, actor=TESTER)
    assert not keyset.is_current()
    await keyset.refresh()
    assert router.routes == {}
