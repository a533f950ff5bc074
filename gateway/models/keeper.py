"""Have in memory what SQL says is served, while requests go on.

A version is loaded beside the others, shown by one assignment, and freed when the last request that
was promised it has left. Nothing here is waited for by a request.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from functools import partial
from typing import Final

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.actor import system
from auth.followers import Apply
from gateway.models.label_store import ModelStore
from gateway.models.records import (
    CHAMPION,
    Holding,
    ModelBook,
    ModelChanges,
    ModelShelf,
    ModelView,
)
from gateway.models.rows import read_model_changes
from gateway.models.second_tries import SecondTries
from inference.errors import ModelRefused, VettingFailed
from inference.loading import ModelVersion
from inference.predictor import Predictor
from inference.registry import ModelStatus, Registry

HEARTBEAT_SECONDS: Final = 5.0
KEEPER: Final = system("models")
_CHANGED_FILES: Final = "its files are not those that were registered under this number"
_UNLOADED: Final = "the model is unloaded"

UNREACHABLE: Final = (SQLAlchemyError, OSError)
"""What SQL that is away is told by."""

Load = Callable[[str, str], Awaitable[ModelVersion]]
"""Load a version from its files, vetted; raises ModelRefused or VettingFailed."""

logger = logging.getLogger(__name__)


class ModelKeeper:
    """Keep the registry and the predictor of one process in step with the records.

    Concurrency: one event loop. Rows arrive by `read`, with the catalogue; what they ask for is
    done by `keeping`, one version at a time.
    """

    def __init__(
        self,
        store: ModelStore,
        registry: Registry,
        predictor: Predictor,
        *,
        load: Load,
        worker_id: str,
    ) -> None:
        self._store = store
        self._registry = registry
        self._predictor = predictor
        self._load = load
        self.worker_id = worker_id
        self.shelf = ModelShelf()
        """The records as they were read last."""

        self._loaded: dict[tuple[str, str], ModelVersion] = {}
        self._failed: dict[tuple[str, str], Holding] = {}
        self._second_tries = SecondTries()
        self._defaults: dict[str, ModelVersion] = {}
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()
        self._freeing: set[asyncio.Task[None]] = set()

    async def read(self, connection: AsyncConnection, *, since: int) -> Apply:
        """Read what changed, as a follower of the catalogue."""
        return partial(self.apply, await read_model_changes(connection, since=since))

    def apply(self, changes: ModelChanges) -> None:
        """Take over what changed in the records."""
        for name in self.shelf.apply(changes):
            self._retry(name)
            self._show(name)
            self._wake.set()

    def take(self, model: ModelVersion) -> None:
        """Have a version that is loaded; it is shown once the records say so."""
        self._second_tries.forget((model.name, model.version))
        self._loaded[model.name, model.version] = model
        self._predictor.add(model)
        self._show(model.name)

    def fail(self, holding: Holding, *, may_pass: bool = False) -> None:
        """Remember that a version cannot be loaded, until its model changes or that may be over."""
        key = (holding.name, holding.version)
        self._failed[key] = holding
        if may_pass:
            self._second_tries.put_off(key)
        else:
            self._second_tries.forget(key)
        logger.error("model %s/%s: %s", holding.name, holding.version, holding.reason)
        self._show(holding.name)

    def look_again(self) -> None:
        """Count a heartbeat: what may be there by now is loaded when the records are followed."""
        for name, version in self._second_tries.beat():
            if version in self.shelf.book_of(name).versions:
                self._failed.pop((name, version), None)

    def holdings(self) -> list[Holding]:
        """List what this process has, and what it could not load."""
        held = [Holding(one.name, one.version, one.digest) for one in self._loaded.values()]
        return [*held, *self._failed.values()]

    async def reconcile(self) -> None:
        """Load and free what the records ask for, and say so.

        Raises:
            SQLAlchemyError, OSError: the records cannot be reached; what is shown stays.
        """
        async with self._turn:
            for name in sorted(self.shelf.books):
                await self._reconcile(name)

    @contextlib.asynccontextmanager
    async def living(self) -> AsyncIterator[None]:
        """Renew the lease until the block ends."""
        async with _running(self._live()):
            yield

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Do what the records ask for until the block ends."""
        try:
            async with _running(self._follow()):
                yield
        finally:
            for task in list(self._freeing):
                task.cancel()
            await asyncio.gather(*self._freeing, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self.reconcile()
            except UNREACHABLE as error:
                logger.warning("versions cannot be followed: %s", type(error).__name__)
            except Exception:
                # Whoever ended here would keep its lease, and every change would wait for it.
                logger.exception("versions cannot be followed")

    async def _live(self) -> None:
        """Renew the lease, and look again at what others may have left unfinished."""
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            try:
                await self._store.keep_lease(self.worker_id, self.holdings())
            except UNREACHABLE as error:
                logger.warning("the lease cannot be renewed: %s", type(error).__name__)
            self.look_again()
            self._wake.set()

    async def _reconcile(self, name: str) -> None:
        for version in self._missing(name):
            await self._prepare(name, version)
        for model in self._superfluous(name):
            await self._drop(model)
        if self._view(name).preparing:
            await self._store.settle(name, actor=KEEPER)

    async def _prepare(self, name: str, version: str) -> None:
        """Load a version beside the others, and tell."""
        digest = self.shelf.book_of(name).versions[version].digest
        holding = Holding(name, version, digest)
        try:
            self.take(check_registered(await self._load(name, version), digest))
        except (ModelRefused, VettingFailed) as refusal:
            holding = Holding(name, version, digest, reason_of(refusal))
            self.fail(holding, may_pass=isinstance(refusal, ModelRefused) and refusal.may_pass)
        await self._store.hold(self.worker_id, holding)

    async def _drop(self, model: ModelVersion) -> None:
        """Tell, and then free a version, unless it is wanted again by then."""
        holding = Holding(model.name, model.version, model.digest)
        await self._store.let_go(self.worker_id, holding)
        if model not in self._superfluous(model.name):
            await self._store.hold(self.worker_id, holding)
            return
        del self._loaded[model.name, model.version]
        self._show(model.name)
        task = asyncio.create_task(self._free(model))
        self._freeing.add(task)
        task.add_done_callback(self._freeing.discard)

    async def _free(self, model: ModelVersion) -> None:
        await model.holders.gone()
        self._predictor.remove(model)
        model.runtime.close()

    def _retry(self, name: str) -> None:
        """Forget what could not be loaded, where there is a registered version to load."""
        registered = self.shelf.book_of(name).versions
        for owner, version in list(self._failed):
            if owner == name and version in registered:
                del self._failed[owner, version]

    def _view(self, name: str) -> ModelView:
        return self.shelf.book_of(name).view()

    def _wanted(self, name: str) -> set[str]:
        view = self._view(name)
        return {*view.visible, *view.preparing}

    def _missing(self, name: str) -> list[str]:
        known = self._loaded.keys() | self._failed.keys()
        return sorted((v for v in self._wanted(name) if (name, v) not in known), key=int)

    def _superfluous(self, name: str) -> list[ModelVersion]:
        """List what nobody may find any more; the version that answers now is none of it."""
        wanted = self._wanted(name)
        found = self._defaults.get(name)
        return [
            model
            for (owner, version), model in self._loaded.items()
            if owner == name and version not in wanted and model is not found
        ]

    def _show(self, name: str) -> None:
        """Let requests find what the records say and this process has."""
        book = self.shelf.book_of(name)
        view = book.view()
        models = [
            self._loaded[name, version]
            for version in view.visible
            if (name, version) in self._loaded
        ]
        default = self._default(name, view, models)
        if default is None:
            self._defaults.pop(name, None)
        else:
            self._defaults[name] = default
        statuses = self._statuses(book, view)
        self._registry.show(name, models, default=default, labels=view.labels, statuses=statuses)

    def _default(
        self, name: str, view: ModelView, models: list[ModelVersion]
    ) -> ModelVersion | None:
        """Choose what answers where no version is named.

        A champion that this process has not got yet leaves its place to the version that answered
        so far: a process that could not be waited for serves something old rather than nothing.
        """
        champion = view.labels.get(CHAMPION)
        if champion is None:
            return models[-1] if models else None
        if (name, champion) in self._loaded:
            return self._loaded[name, champion]
        found = self._defaults.get(name)
        return found if (name, champion) not in self._failed else None

    def _statuses(self, book: ModelBook, view: ModelView) -> list[ModelStatus]:
        if not book.is_loaded:
            serving = [one.version for one in book.versions.values() if one.state == "serving"]
            return [
                ModelStatus(book.name, version, is_ready=False, reason=_UNLOADED)
                for version in sorted(serving, key=int)
            ]
        failed = {version for name, version in self._failed if name == book.name}
        statuses = []
        for version in sorted({*view.visible, *failed}, key=int):
            key = (book.name, version)
            reason = self._failed[key].reason if key in self._failed else "it is being loaded"
            is_ready = key in self._loaded
            statuses.append(
                ModelStatus(
                    book.name, version, is_ready=is_ready, reason="" if is_ready else reason
                )
            )
        return statuses


@contextlib.asynccontextmanager
async def _running(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def check_registered(model: ModelVersion, digest: str) -> ModelVersion:
    """Pass a version whose files are those that were registered; close any other.

    Threat: whoever can write to the repository could otherwise change what a version answers that
    bills and comparisons have named.

    Raises:
        ModelRefused: its files have changed.
    """
    if model.digest != digest:
        model.runtime.close()
        raise ModelRefused(model.name, _CHANGED_FILES)
    return model


def reason_of(error: ModelRefused | VettingFailed) -> str:
    """Say for the operator why a version could not be loaded."""
    if isinstance(error, ModelRefused):
        return error.reason
    return f"it could not be checked: {error.debug}"
