"""What is served changes while requests go on, for all processes at the same moment."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from auth.actor import Actor
from gateway.models.label_store import ModelStore
from gateway.models.records import CHAMPION, VersionRecord
from gateway.models.version_store import FoundVersion
from inference.errors import ModelNotFound, ModelNotReady, ModelRefused
from inference.loading import ModelVersion
from inference.remote_loading import load_anywhere
from inference.repository import VersionPath
from inference.routing import Selection
from inference.settings import InferenceSettings
from inference.version_files import Contents, open_version
from inference.version_policy import VersionPolicy
from tests.actors import TESTER
from tests.repositories import write_manifest, write_model
from tests.unit.gateway.models.workers import (
    MODEL,
    Worker,
    adding_model,
    load_but_second,
    worker,
    write_adders,
)
from tests.unit.inference.fakes import turn


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a repository with one version."""
    folder = tmp_path / "models"
    write_adders(folder, 1)
    return folder


@pytest.fixture
async def workers(
    store: ModelStore, engine: AsyncEngine, root: Path
) -> AsyncIterator[tuple[Worker, Worker]]:
    """Run two processes."""
    async with contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(worker(store, engine, root))
        second = await stack.enter_async_context(worker(store, engine, root))
        await first.refresh()
        yield first, second


@pytest.fixture
async def alone(store: ModelStore, engine: AsyncEngine, root: Path) -> AsyncIterator[Worker]:
    """Run one process."""
    async with worker(store, engine, root) as one:
        yield one


async def push(store: ModelStore, root: Path, version: int) -> VersionRecord:
    """Put a version into the repository and register it."""
    write_adders(root, version)
    return await register(store, root, str(version))


async def register(store: ModelStore, root: Path, version: str) -> VersionRecord:
    """Register what lies in the repository."""
    with open_version(VersionPath(root, MODEL, version)) as files:
        digest = files.digests().version
    return await store.push(FoundVersion(MODEL, version, digest, VersionPolicy()), actor=TESTER)


async def promote(store: ModelStore, version: str) -> None:
    """Make a version the champion."""
    await store.set_label(MODEL, CHAMPION, version=version, actor=TESTER)


async def test_start_serves_what_lies_there(alone: Worker) -> None:
    """With no step before."""
    assert await alone.answer(alone.find("1"), 5) == 6


async def test_process_that_took_long_to_start_keeps_what_it_loaded(
    store: ModelStore, engine: AsyncEngine, root: Path
) -> None:
    """Its keeper is woken before the catalogue is read for the first time."""
    async with worker(store, engine, root, refreshes=False) as slow:
        await slow.keeper.reconcile()
        assert slow.find("1").version == "1"


async def test_pushed_version_is_served_without_a_restart(
    alone: Worker, store: ModelStore, root: Path
) -> None:
    """The keeper loads it beside the other."""
    await push(store, root, 2)
    await alone.work()
    await alone.refresh()
    assert alone.shown() == ["1", "2"]
    assert await alone.answer(alone.find("2"), 5) == 7


async def test_version_is_shown_by_all_or_none(
    workers: tuple[Worker, Worker], store: ModelStore, root: Path
) -> None:
    """The one that is quicker waits for the other."""
    first, second = workers
    await push(store, root, 2)
    await first.work()
    await first.refresh()
    assert first.shown() == ["1"]
    await second.work()
    for one in workers:
        await one.refresh()
        assert one.shown() == ["1", "2"]


async def test_champion_changes_with_the_next_request(
    workers: tuple[Worker, Worker], store: ModelStore, root: Path
) -> None:
    """Both have the version in memory, so the one row is all."""
    await push(store, root, 2)
    for one in workers:
        await one.work()
    await promote(store, "2")
    for one in workers:
        await one.refresh()
        assert one.unnamed() == "2"


async def test_held_version_answers_after_it_was_withdrawn(
    alone: Worker, store: ModelStore, root: Path
) -> None:
    """Whoever was promised it gets it; nobody else finds it."""
    await push(store, root, 2)
    await alone.work()
    await alone.refresh()
    held = alone.find("2")
    held.holders.add()
    await store.retire(MODEL, "2", actor=TESTER)
    await alone.work()
    with pytest.raises(ModelNotFound):
        alone.find("2")
    assert await alone.answer(held, 5) == 7
    held.holders.remove()
    await turn()
    with pytest.raises(KeyError):
        await alone.answer(held, 5)


async def test_withdrawn_version_can_come_back(
    alone: Worker, store: ModelStore, root: Path
) -> None:
    """The same files are loaded anew."""
    await push(store, root, 2)
    await alone.work()
    await store.retire(MODEL, "2", actor=TESTER)
    await alone.work()
    await register(store, root, "2")
    await alone.work()
    await alone.refresh()
    assert await alone.answer(alone.find("2"), 5) == 7


async def test_unloaded_model_is_not_ready(alone: Worker, store: ModelStore) -> None:
    """It is there, and comes back when it is loaded."""
    await store.set_loaded(MODEL, is_loaded=False, actor=TESTER)
    await alone.refresh()
    with pytest.raises(ModelNotReady):
        alone.unnamed()
    await store.set_loaded(MODEL, is_loaded=True, actor=TESTER)
    await alone.work()
    assert alone.unnamed() == "1"


async def test_label_finds_its_version(alone: Worker, store: ModelStore) -> None:
    """Until it is taken away."""
    await store.set_label(MODEL, "canary", version="1", actor=TESTER)
    await alone.refresh()
    assert alone.registry.resolve(MODEL, Selection(label="canary")).version == "1"
    await store.remove_label(MODEL, "canary", actor=TESTER)
    await alone.refresh()
    with pytest.raises(ModelNotFound):
        alone.registry.resolve(MODEL, Selection(label="canary"))


async def test_changed_files_are_refused_at_the_start(
    store: ModelStore, engine: AsyncEngine, root: Path
) -> None:
    """Threat: another model would answer under a number that bills have named."""
    async with worker(store, engine, root):
        pass
    shutil.rmtree(root / MODEL / "1")
    write_model(root, MODEL, adding_model(100))
    async with worker(store, engine, root) as again:
        with pytest.raises(ModelNotReady) as refusal:
            again.unnamed()
    assert "not those that were registered" in refusal.value.reason


async def test_changed_files_are_refused_when_they_are_loaded_again(
    alone: Worker, store: ModelStore, root: Path
) -> None:
    """Also without a start in between."""
    await push(store, root, 2)
    await alone.work()
    await store.retire(MODEL, "2", actor=TESTER)
    await alone.work()
    await register(store, root, "2")
    shutil.rmtree(root / MODEL / "2")
    write_model(root, MODEL, adding_model(100), version=2)
    await alone.work()
    await alone.refresh()
    record = (await store.read_book(MODEL)).versions["2"]
    assert (record.state, alone.shown()) == ("refused", ["1"])


async def test_own_manifest_is_part_of_the_digest(
    store: ModelStore, engine: AsyncEngine, root: Path
) -> None:
    """A version's own contract is its own for good; the shared one may be edited."""
    own = root / MODEL / "1"
    write_manifest(own, 'description = "mine"\n')
    write_manifest(root / MODEL, 'description = "shared"\n')
    async with worker(store, engine, root) as first:
        assert first.find("1").description == "mine"
    write_manifest(root / MODEL, 'description = "edited"\n')
    async with worker(store, engine, root) as second:
        assert second.shown() == ["1"]
    write_manifest(own, 'description = "changed"\n')
    async with worker(store, engine, root) as third:
        assert third.shown() == []


async def test_bad_version_leaves_the_others_alone(
    store: ModelStore, engine: AsyncEngine, root: Path
) -> None:
    """It is not registered, and its status says why."""
    write_model(root, MODEL, b"no model", version=2)
    async with worker(store, engine, root) as one:
        assert (one.shown(), one.unnamed()) == (["1"], "1")
        assert [status.is_ready for status in one.registry.statuses()] == [True, False]
    assert list((await store.read_book(MODEL)).versions) == ["1"]


async def test_start_goes_on_without_a_version_that_fails_unforeseen(
    store: ModelStore, engine: AsyncEngine, root: Path
) -> None:
    """Its status says what happened."""
    write_adders(root, 2)
    async with worker(store, engine, root, load=load_but_second) as one:
        assert one.shown() == ["1"]
        [_, failed] = one.registry.statuses()
        assert "MemoryError" in failed.reason


async def test_pushed_version_that_fails_unforeseen_is_refused(
    store: ModelStore, engine: AsyncEngine, root: Path
) -> None:
    """Whoever pushed it is told, and the keeper goes on with the next."""
    async with worker(store, engine, root, load=load_but_second) as one:
        await push(store, root, 2)
        await one.work()
        record = (await store.read_book(MODEL)).versions["2"]
        assert (record.state, "MemoryError" in record.reason) == ("refused", True)
        await push(store, root, 3)
        await one.work()
        await one.refresh()
        assert one.shown() == ["1", "3"]


class EngineAway:
    """Load versions, unless the engine that has them is away."""

    is_away = True

    def load(
        self, path: VersionPath, contents: Contents, settings: InferenceSettings
    ) -> ModelVersion:
        """Load a version, or say that this may pass."""
        if self.is_away:
            raise ModelRefused(path.name, "the engine is away", may_pass=True)
        return load_anywhere(path, contents, settings)


async def test_version_is_served_when_its_engine_is_back(
    store: ModelStore, engine: AsyncEngine, root: Path
) -> None:
    """Nobody has to load it again."""
    async with worker(store, engine, root):
        pass
    away = EngineAway()
    async with worker(store, engine, root, load=away.load) as one:
        assert one.shown() == []
        away.is_away = False
        async with asyncio.timeout(30):
            while one.shown() != ["1"]:
                one.keeper.look_again()
                await one.keeper.reconcile()


class StumblingStore(ModelStore):
    """The records, of which one change fails once as nobody foresaw."""

    has_stumbled = False

    async def settle(self, name: str, *, actor: Actor) -> None:
        """Fail, and settle from then on."""
        if not self.has_stumbled:
            self.has_stumbled = True
            raise ValueError("nobody foresaw this")
        await super().settle(name, actor=actor)


async def test_keeper_goes_on_after_an_error_that_nobody_foresaw(
    store: ModelStore, engine: AsyncEngine, root: Path
) -> None:
    """A keeper that ends in silence holds up every push and promotion."""
    stumbling = store.part(StumblingStore)
    async with worker(stumbling, engine, root) as one:
        async with asyncio.timeout(30):
            await push(store, root, 2)
            await one.refresh()
            while not stumbling.has_stumbled:
                await turn()
            await push(store, root, 3)
            await one.refresh()
            while (await store.read_book(MODEL)).versions["3"].state != "serving":
                await turn()


async def test_policy_of_the_newest_version_counts(
    store: ModelStore, engine: AsyncEngine, root: Path
) -> None:
    """With the latest one alone, the others are freed."""
    write_adders(root, 2, 3)
    write_manifest(root / MODEL, "[version_policy]\nlatest = 1\n")
    async with worker(store, engine, root) as one:
        await one.work()
        assert one.shown() == ["3"]
        assert {holding.version for holding in one.keeper.holdings()} == {"3"}


async def test_process_that_starts_does_not_decide_for_those_that_run(
    *, alone: Worker, store: ModelStore, engine: AsyncEngine, root: Path
) -> None:
    """A folder that was put there by hand is shown when everybody has it."""
    write_adders(root, 2)
    async with worker(store, engine, root) as newcomer:
        assert newcomer.unnamed() == "1"
        await alone.work()
        for one in (alone, newcomer):
            await one.refresh()
            assert one.unnamed() == "2"


async def test_process_without_the_champion_goes_on_with_what_it_had(
    alone: Worker, store: ModelStore, root: Path
) -> None:
    """It could not be waited for; something old is better than nothing."""
    await push(store, root, 2)
    await store.end_lease(alone.keeper.worker_id)
    await store.settle(MODEL, actor=TESTER)
    await promote(store, "2")
    await alone.refresh()
    assert alone.unnamed() == "1"
    await alone.work()
    assert alone.unnamed() == "2"


async def test_keeper_works_by_itself(alone: Worker, store: ModelStore, root: Path) -> None:
    """Rows that arrive with the catalogue wake it."""
    await push(store, root, 2)
    await alone.refresh()
    async with asyncio.timeout(30):
        while (await store.read_book(MODEL)).versions["2"].state != "serving":
            await turn()
    await alone.refresh()
    assert alone.shown() == ["1", "2"]
