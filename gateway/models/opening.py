"""Load what a process serves when it starts, and register what nobody knew."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

from gateway.models.keeper import KEEPER, UNREACHABLE, ModelKeeper, check_registered
from gateway.models.label_store import ModelStore
from gateway.models.records import Holding
from gateway.models.version_store import FoundVersion
from inference.errors import ModelRefused
from inference.loading import ModelVersion
from inference.predictor import Predictor
from inference.registry import Registry
from inference.repository import VersionPath, list_versions
from inference.vetter import Vetter
from inference.vetting_report import VettingReport


@contextlib.asynccontextmanager
async def open_keeper(
    store: ModelStore, registry: Registry, predictor: Predictor, *, root: Path, vetter: Vetter
) -> AsyncIterator[ModelKeeper]:
    """Load everything that is served, and let the keeper work until the block ends.

    The lease comes first: whatever changes from then on waits for this process. A version that is
    not acceptable, or not what was registered, is told by its status, not by a crash.
    """

    async def load(name: str, version: str) -> ModelVersion:
        return await vetter.load(VersionPath(root, name, version))

    worker_id = secrets.token_hex(8)
    keeper = ModelKeeper(store, registry, predictor, load=load, worker_id=worker_id)
    await store.keep_lease(worker_id, [])
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(_end_lease, store, worker_id)
        await stack.enter_async_context(keeper.living())
        keeper.shelf.apply(await store.read_changes(since=0))
        loaded = await _load_all(keeper, root, vetter)
        await store.register_found(_found(loaded), actor=KEEPER, worker_id=worker_id)
        for holding in keeper.holdings():
            await store.hold(worker_id, holding)
        # What was just registered is in no memory yet, and would be freed as nobody's wish.
        keeper.apply(await store.read_changes(since=0))
        await stack.enter_async_context(keeper.following())
        yield keeper


async def _load_all(keeper: ModelKeeper, root: Path, vetter: Vetter) -> list[ModelVersion]:
    """Load what is on disk and either unknown or wanted.

    All are vetted first, some at a time; they are loaded one after the other, as each is timed.
    """
    paths = await asyncio.to_thread(list_versions, root)
    paths = [path for path in paths if _is_wanted(keeper, path)]
    outcomes = await asyncio.gather(*(vetter.judge(path) for path in paths))
    loaded = []
    for path, outcome in zip(paths, outcomes, strict=True):
        known = keeper.shelf.book_of(path.name).versions.get(path.version)
        digest = "" if known is None else known.digest
        reason, may_pass = outcome if isinstance(outcome, str) else "", False
        try:
            if isinstance(outcome, VettingReport):
                model = await vetter.load_checked(path, outcome)
                loaded.append(check_registered(model, digest or model.digest))
        except ModelRefused as refusal:
            reason, may_pass = refusal.reason, refusal.may_pass
        if reason:
            keeper.fail(Holding(path.name, path.version, digest, reason), may_pass=may_pass)
    for model in loaded:
        keeper.take(model)
    return loaded


def _is_wanted(keeper: ModelKeeper, path: VersionPath) -> bool:
    book = keeper.shelf.book_of(path.name)
    view = book.view()
    return path.version not in book.versions or path.version in {*view.visible, *view.preparing}


def _found(loaded: list[ModelVersion]) -> list[FoundVersion]:
    """Describe what was loaded; of a model's versions the newest one's policy counts."""
    policies = {model.name: model.version_policy for model in loaded}
    return [
        FoundVersion(model.name, model.version, model.digest, policies[model.name])
        for model in loaded
    ]


async def _end_lease(store: ModelStore, worker_id: str) -> None:
    """Tell that nobody need wait for this process; where SQL is away, its lease runs out."""
    with contextlib.suppress(*UNREACHABLE):
        await store.end_lease(worker_id)
