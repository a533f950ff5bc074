"""Bring versions in, promote, roll back and withdraw them: what the API and the shell share."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Final, TypeVar

from auth.actor import Actor
from gateway.errors import ContractIncompatible, VersionUnavailable
from gateway.models.label_store import ModelStore
from gateway.models.records import CHAMPION, LabelRecord, ModelBook, VersionRecord
from gateway.models.staging import digest_of, inherit_manifest, move_in_place, take_away
from gateway.models.version_store import FoundVersion, check_free, version_in
from inference.compatibility import compare_contracts
from inference.errors import ModelNotFound, ModelRefused
from inference.repository import list_versions
from inference.version_files import VersionPath
from inference.version_policy import newest_version
from inference.vetter import Vetter

Result = TypeVar("Result")

_POLL_SECONDS: Final = 0.05
_TOLD: Final = 3
"""Incompatibilities that a refusal names."""


class Publisher:
    """Change what is served, in steps of which each is safe to stop after."""

    def __init__(
        self, store: ModelStore, vetter: Vetter, *, root: Path, wait_seconds: float
    ) -> None:
        """Work on a repository; `wait_seconds` is how long every worker may take to prepare."""
        self._store = store
        self._vetter = vetter
        self._root = root
        self._wait_seconds = wait_seconds

    async def push(self, staged: VersionPath, *, actor: Actor, force: bool) -> VersionRecord:
        """Vet a version, move it in place and serve it under its number.

        Raises:
            ModelRefused: it is not acceptable.
            VettingFailed: it could not be checked.
            VersionExists: its number stands for other files.
            ContractIncompatible: it would break the callers of the running version; not with
                `force`.
            RepositoryReadOnly: the repository cannot be written to.
            VersionUnavailable: not every worker had it in memory in time.
        """
        name, version = staged.name, staged.version
        await asyncio.to_thread(inherit_manifest, staged, self._root)
        book = await self._store.read_book(name)
        found = await self._vetted(staged, book, actor=actor)
        check_free(book, version, digest=found.digest)
        if not force:
            await self._compare(book, staged)
        is_moved = await asyncio.to_thread(move_in_place, staged, self._root)
        record = await self._store.push(found, actor=actor)
        if not book.is_loaded:
            return record
        try:
            record = await self._served(name, version, actor=actor)
        except VersionUnavailable as error:
            await self._store.refuse(found, error.message, actor=actor)
            raise
        finally:
            is_refused = (await self._store.read_book(name)).versions[version].state == "refused"
            if is_moved and is_refused:
                await asyncio.to_thread(take_away, VersionPath(self._root, name, version))
        return record

    async def promote(
        self, name: str, version: str, *, label: str = CHAMPION, actor: Actor, force: bool
    ) -> LabelRecord:
        """Let a label stand for a version, on every worker from the same moment.

        Raises:
            ModelNotFound: there is no such version.
            VersionUnavailable: it is withdrawn or refused, or not every worker got it in time.
            ContractIncompatible: it would break the callers of the champion; not with `force`.
            InvalidChange: that is no label.
        """
        if label == CHAMPION and not force:
            await self.check_contract(name, version)
        wished = await self._store.set_label(name, label, version=version, actor=actor)
        return await self._moved(wished, actor=actor)

    async def check_contract(self, name: str, version: str) -> None:
        """Pass if callers of the running version could be answered by another one that is known.

        What is withdrawn or refused passes: it has perhaps no files, and cannot answer anyway.

        Raises:
            ModelNotFound: there is no such version.
            ContractIncompatible: it would break what they rely on.
            ModelRefused, VettingFailed: the files of one of the two are not what they were, or
                its engine does not answer.
        """
        book = await self._store.read_book(name)
        if version_in(book, version).state in ("registered", "serving"):
            await self._compare(book, VersionPath(self._root, name, version))

    async def roll_back(self, name: str, *, label: str = CHAMPION, actor: Actor) -> LabelRecord:
        """Let a label stand again for what it stood for before, whatever the contract.

        Raises:
            ModelNotFound: there is no such model.
            NothingBefore: it stood for nothing else that is still served.
            VersionUnavailable: not every worker got it in time.
        """
        wished = await self._store.roll_back(name, label, actor=actor)
        return await self._moved(wished, actor=actor)

    async def retire(self, name: str, version: str, *, actor: Actor) -> VersionRecord:
        """Withdraw a version; requests that were promised it are answered.

        Raises:
            ModelNotFound: there is no such version.
            VersionInUse: a label stands for it.
            VersionUnavailable: it was refused.
        """
        return await self._store.retire(name, version, actor=actor)

    async def load(self, name: str, *, actor: Actor) -> None:
        """Serve a model with every version of it that lies in the repository.

        Raises:
            ModelNotFound: nothing of that name is there.
            ModelRefused: a version is not acceptable, or its files have changed.
            VersionUnavailable: not every worker had all of it in memory in time.
        """
        paths = await asyncio.to_thread(list_versions, self._root)
        own = [path for path in paths if path.name == name]
        if not own:
            raise ModelNotFound(name)
        book = await self._store.read_book(name)
        for path in own:
            known = book.versions.get(path.version)
            if known is None or known.state == "refused":
                await self._store.push(await self._vetted(path, book, actor=actor), actor=actor)
            elif await asyncio.to_thread(digest_of, path) != known.digest:
                raise ModelRefused(name, f"the files of version {path.version} have changed")
        await self._store.set_loaded(name, is_loaded=True, actor=actor)
        await self._settled(name, lambda now: not now.view().preparing, actor=actor)
        await self._in_time(self._watch_all(name))

    async def unload(self, name: str, *, actor: Actor) -> None:
        """Take a model out of service, until it is loaded.

        Raises:
            ModelNotFound: there is no such model.
        """
        await self._store.set_loaded(name, is_loaded=False, actor=actor)

    async def _vetted(self, path: VersionPath, book: ModelBook, *, actor: Actor) -> FoundVersion:
        """Vet a version; a refusal is noted."""
        try:
            report = await self._vetter.vet(path)
            manifest = await self._vetter.read_manifest(path, report)
        except ModelRefused as refusal:
            found = FoundVersion(path.name, path.version, "", book.policy)
            await self._store.refuse(found, refusal.reason, actor=actor)
            raise
        is_newest = newest_version([*book.versions, path.version]) == path.version
        policy = manifest.version_policy if is_newest else book.policy
        return FoundVersion(path.name, path.version, report.digests.version, policy)

    async def _compare(self, book: ModelBook, candidate: VersionPath) -> None:
        running = book.view().default
        if running is None or running == candidate.version:
            return
        before = await self._vetter.read_terms(VersionPath(self._root, book.name, running))
        problems = compare_contracts(before, await self._vetter.read_terms(candidate))
        if problems:
            told = "; ".join(problems[:_TOLD])
            rest = f", and {len(problems) - _TOLD} more" if len(problems) > _TOLD else ""
            raise ContractIncompatible(f"against the running version {running}: {told}{rest}")

    async def _served(self, name: str, version: str, *, actor: Actor) -> VersionRecord:
        book = await self._settled(
            name, lambda now: now.versions[version].state != "registered", actor=actor
        )
        record = book.versions[version]
        if record.state == "refused":
            raise ModelRefused(name, record.reason)
        return record

    async def _moved(self, wished: LabelRecord, *, actor: Actor) -> LabelRecord:
        name, label, version = wished.name, wished.label, wished.pending
        if version is None:
            return wished
        try:
            book = await self._settled(
                name, lambda now: now.labels[label].pending is None, actor=actor
            )
        except VersionUnavailable:
            await self._store.abandon(name, label, actor=actor)
            raise
        if book.labels[label].version != version:
            raise VersionUnavailable(f"a worker could not load version {version} again")
        return book.labels[label]

    async def _settled(
        self, name: str, is_done: Callable[[ModelBook], bool], *, actor: Actor
    ) -> ModelBook:
        """Wait until every worker has done its part.

        Raises:
            VersionUnavailable: that took too long.
        """
        return await self._in_time(self._watch(name, is_done, actor=actor))

    async def _in_time(self, watching: Coroutine[None, None, Result]) -> Result:
        try:
            return await asyncio.wait_for(watching, self._wait_seconds)
        except TimeoutError:
            raise VersionUnavailable(
                f"not every worker had it in memory within {self._wait_seconds:g} s"
            ) from None

    async def _watch(
        self, name: str, is_done: Callable[[ModelBook], bool], *, actor: Actor
    ) -> ModelBook:
        while True:
            await self._store.settle(name, actor=actor)
            book = await self._store.read_book(name)
            if is_done(book):
                return book
            await asyncio.sleep(_POLL_SECONDS)

    async def _watch_all(self, name: str) -> None:
        """Wait until every worker has in memory what callers see of a model.

        Raises:
            ModelRefused: one cannot load a version of it.
        """
        while True:
            reason = await self._store.progress_of(name)
            if reason:
                raise ModelRefused(name, reason)
            if reason is not None:
                return
            await asyncio.sleep(_POLL_SECONDS)
