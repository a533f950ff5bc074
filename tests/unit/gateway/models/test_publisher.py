"""Versions come in, are promoted and withdrawn, and nothing bad of them is left behind."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.errors import (
    ContractIncompatible,
    RepositoryReadOnly,
    VersionExists,
    VersionUnavailable,
)
from gateway.models.label_store import ModelStore
from gateway.models.publisher import Publisher
from gateway.models.records import CHAMPION, VersionRecord
from gateway.models.staging import STAGING_FOLDER, staged
from inference.errors import ModelNotFound, ModelRefused
from inference.settings import InferenceSettings
from tests.actors import TESTER
from tests.fake_engine import FakeEngine, running_engine
from tests.repositories import scaled_model, sum_model, write_manifest, write_model
from tests.unit.gateway.models.workers import (
    MODEL,
    Worker,
    adding_model,
    new_vetter,
    worker,
    write_adders,
)

# What the database has to do with it is in the tests of the store.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a repository with one version."""
    folder = tmp_path / "models"
    write_adders(folder, 1)
    return folder


@pytest.fixture
async def alone(store: ModelStore, engine: AsyncEngine, root: Path) -> AsyncIterator[Worker]:
    """Run one process."""
    async with worker(store, engine, root) as one:
        yield one


@pytest.fixture
def publisher(store: ModelStore, root: Path) -> Publisher:
    """Return what the API and the shell share."""
    return Publisher(store, new_vetter(root), root=root, wait_seconds=60)


async def push(
    publisher: Publisher, root: Path, version: int, *, content: bytes = b"", force: bool = False
) -> VersionRecord:
    """Push a graph as a version."""
    with staged(root, MODEL, str(version)) as path:
        (path.folder / "model.onnx").write_bytes(content or adding_model(version))
        return await publisher.push(path, actor=TESTER, force=force)


async def following(worker: Worker) -> None:
    """See every change as soon as it is there, as a server under load does."""
    while True:
        await worker.refresh()
        await asyncio.sleep(0)


@pytest.fixture
async def served(alone: Worker) -> AsyncIterator[Worker]:
    """Run one process that gets requests."""
    task = asyncio.create_task(following(alone))
    yield alone
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_pushed_version_is_served_when_the_push_returns(
    served: Worker, publisher: Publisher, root: Path
) -> None:
    """Under its number; who names none gets what answered so far."""
    record = await push(publisher, root, 2)
    await served.refresh()
    assert record.state == "serving"
    assert (served.shown(), served.unnamed()) == (["1", "2"], "1")


async def test_promoted_version_answers_when_the_promotion_returns(
    served: Worker, publisher: Publisher, root: Path
) -> None:
    """And the one before it after a rollback."""
    await push(publisher, root, 2)
    await publisher.promote(MODEL, "2", actor=TESTER, force=False)
    await served.refresh()
    assert served.unnamed() == "2"
    await publisher.roll_back(MODEL, actor=TESTER)
    await served.refresh()
    assert served.unnamed() == "1"


async def test_push_without_a_server_is_served_at_the_next_start(
    *, store: ModelStore, engine: AsyncEngine, publisher: Publisher, root: Path
) -> None:
    """There is nobody to wait for."""
    await push(publisher, root, 2)
    async with worker(store, engine, root) as one:
        assert one.shown() == ["1", "2"]


async def test_bad_file_is_refused_with_its_reason(
    *, alone: Worker, publisher: Publisher, store: ModelStore, root: Path
) -> None:
    """It never lies where models are served from."""
    with pytest.raises(ModelRefused, match="not an ONNX file"):
        await push(publisher, root, 2, content=b"no model")
    assert [entry.name for entry in (root / MODEL).iterdir()] == ["1"]
    assert list((root / STAGING_FOLDER).iterdir()) == []
    assert (await store.read_book(MODEL)).versions["2"].state == "refused"
    assert alone.shown() == ["1"]


async def test_number_of_other_files_is_refused(alone: Worker, publisher: Publisher) -> None:
    """What serves goes on."""
    root = alone.root
    with pytest.raises(VersionExists):
        await push(publisher, root, 1, content=adding_model(100))
    assert await alone.answer(alone.find("1"), 5) == 6


async def test_same_push_again_changes_nothing(
    served: Worker, publisher: Publisher, root: Path
) -> None:
    """A pipeline may repeat itself."""
    first = await push(publisher, root, 2)
    assert await push(publisher, root, 2) == first
    assert served.shown() == ["1", "2"]


async def test_contract_that_breaks_callers_is_refused(
    served: Worker, publisher: Publisher, root: Path
) -> None:
    """Before it lies where models are served from; the reason says what would break."""
    with pytest.raises(ContractIncompatible, match="input x is gone"):
        await push(publisher, root, 2, content=sum_model())
    assert not (root / MODEL / "2").exists()
    assert served.shown() == ["1"]


async def test_contract_that_breaks_callers_can_be_forced(
    served: Worker, publisher: Publisher, root: Path
) -> None:
    """Promoting it has to be forced as well."""
    await push(publisher, root, 2, content=sum_model(), force=True)
    with pytest.raises(ContractIncompatible):
        await publisher.promote(MODEL, "2", actor=TESTER, force=False)
    await publisher.promote(MODEL, "2", actor=TESTER, force=True)
    await served.refresh()
    assert served.unnamed() == "2"


@pytest.fixture
def remote() -> Iterator[FakeEngine]:
    """Run an engine, which takes and gives what the adders do."""
    with running_engine(FakeEngine()) as running:
        yield running


@pytest.fixture
def asking(store: ModelStore, root: Path, remote: FakeEngine) -> Publisher:
    """Return what the API and the shell share, with an engine that may be asked."""
    settings = InferenceSettings(engines={remote.place: SecretStr("")})
    vetter = new_vetter(root, settings=settings)
    return Publisher(store, vetter, root=root, wait_seconds=60)


async def push_remote(
    publisher: Publisher, root: Path, version: int, *, remote: FakeEngine
) -> VersionRecord:
    """Push a version that the engine has."""
    with staged(root, MODEL, str(version)) as path:
        write_manifest(path.folder, f'runtime = "grpc://{remote.place}"\n')
        return await publisher.push(path, actor=TESTER, force=False)


async def test_engine_takes_over_from_a_graph_and_back(
    asking: Publisher, root: Path, remote: FakeEngine
) -> None:
    """What counts is the contract, whoever executes it."""
    await push(asking, root, 1)
    await push_remote(asking, root, 2, remote=remote)
    await asking.promote(MODEL, "2", actor=TESTER, force=False)
    assert (await push(asking, root, 3)).state == "serving"


async def test_contract_of_an_engine_that_breaks_callers_is_refused(
    asking: Publisher, root: Path, remote: FakeEngine
) -> None:
    """It is asked, before a version and after one."""
    await push(asking, root, 1)
    await push_remote(asking, root, 2, remote=remote)
    await asking.promote(MODEL, "2", actor=TESTER, force=False)
    with pytest.raises(ContractIncompatible, match="input x is gone"):
        await push(asking, root, 3, content=sum_model())
    await asking.promote(MODEL, "1", actor=TESTER, force=False)
    remote.datatypes = {"4": "INT32"}
    with pytest.raises(ContractIncompatible, match="input x is INT32, FP32 before"):
        await push_remote(asking, root, 4, remote=remote)


async def test_change_from_engine_to_engine_is_seen(
    asking: Publisher, root: Path, remote: FakeEngine
) -> None:
    """Neither has a graph here."""
    await push(asking, root, 1)
    await push_remote(asking, root, 2, remote=remote)
    await asking.promote(MODEL, "2", actor=TESTER, force=False)
    await push_remote(asking, root, 3, remote=remote)
    remote.datatypes = {"4": "INT32"}
    with pytest.raises(ContractIncompatible, match="input x is INT32, FP32 before"):
        await push_remote(asking, root, 4, remote=remote)


async def test_contract_is_not_compared_with_an_engine_that_is_away(
    asking: Publisher, root: Path, remote: FakeEngine
) -> None:
    """The reason names its place."""
    await push(asking, root, 1)
    remote.has_model = False
    with pytest.raises(ModelRefused, match=remote.place):
        await push_remote(asking, root, 2, remote=remote)
    assert not (root / MODEL / "2").exists()


async def test_refused_version_has_no_contract_that_is_checked(
    alone: Worker, publisher: Publisher, root: Path
) -> None:
    """Its files are gone; that it was refused is the reason why nothing can be made of it."""
    with pytest.raises(ModelRefused):
        await push(publisher, root, 2, content=b"no model")
    with pytest.raises(VersionUnavailable, match="refused"):
        await publisher.promote(MODEL, "2", actor=TESTER, force=False)
    assert alone.shown() == ["1"]


async def test_version_keeps_the_contract_that_it_was_pushed_with(
    served: Worker, publisher: Publisher, root: Path
) -> None:
    """It gets a copy of the model's own, which may be edited later."""
    write_manifest(root / MODEL, 'description = "first"\n')
    await push(publisher, root, 2)
    write_manifest(root / MODEL, 'description = "edited"\n')
    await served.refresh()
    assert served.find("2").description == "first"
    assert (root / MODEL / "2" / "model.toml").read_text() == 'description = "first"\n'


async def test_version_that_not_every_worker_gets_is_given_up(
    alone: Worker, store: ModelStore, root: Path
) -> None:
    """Nothing of it is left to happen later."""
    await store.keep_lease("deaf", [])
    hasty = Publisher(store, new_vetter(root), root=root, wait_seconds=0.05)
    with pytest.raises(VersionUnavailable, match="every worker"):
        await push(hasty, root, 2)
    assert (await store.read_book(MODEL)).versions["2"].state == "refused"
    assert not (root / MODEL / "2").exists()
    assert alone.shown() == ["1"]


async def test_repository_that_cannot_be_written_is_told(
    alone: Worker, publisher: Publisher, tmp_path: Path
) -> None:
    """It may be mounted so."""
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the repository should be")
    with pytest.raises(RepositoryReadOnly):
        await push(publisher, blocked, 2)
    assert alone.shown() == ["1"]


async def test_load_takes_up_what_was_put_there_by_hand(
    served: Worker, publisher: Publisher, root: Path
) -> None:
    """As other model servers do when they are told to load a model."""
    write_adders(root, 2)
    await publisher.load(MODEL, actor=TESTER)
    await served.refresh()
    assert served.shown() == ["1", "2"]


async def test_load_refuses_files_that_have_changed(
    served: Worker, publisher: Publisher, root: Path
) -> None:
    """With a reason, and the version in memory goes on."""
    shutil.rmtree(root / MODEL / "1")
    write_model(root, MODEL, scaled_model(3))
    with pytest.raises(ModelRefused, match="have changed"):
        await publisher.load(MODEL, actor=TESTER)
    assert await served.answer(served.find("1"), 5) == 6


async def test_unloaded_model_comes_back(
    served: Worker, publisher: Publisher, store: ModelStore
) -> None:
    """With the champion that it had."""
    await store.set_label(MODEL, CHAMPION, version="1", actor=TESTER)
    await publisher.unload(MODEL, actor=TESTER)
    await served.refresh()
    assert served.shown() == []
    await publisher.load(MODEL, actor=TESTER)
    await served.work()
    assert served.unnamed() == "1"


async def test_model_that_is_nowhere_is_not_loaded(alone: Worker, publisher: Publisher) -> None:
    """Whatever was there before goes on."""
    with pytest.raises(ModelNotFound):
        await publisher.load("nothing", actor=TESTER)
    assert alone.shown() == ["1"]
