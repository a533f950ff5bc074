"""Load every version of every model of a repository, and find them by name."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from inference.errors import ModelNotFound, ModelNotReady, ModelRefused
from inference.loading import ModelVersion, load_version
from inference.repository import list_versions
from inference.routing import UNNAMED, Selection
from inference.settings import InferenceSettings
from inference.vetter import Vetter
from inference.vetting_report import VettingReport

__all__ = ["ModelStatus", "ModelVersion", "Registry"]


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """One version of the repository, loaded or not."""

    name: str
    version: str
    is_ready: bool
    reason: str
    """Why it is not ready, for the operator; empty when it is."""


class Registry:
    """The models of this process; immutable once loaded."""

    def __init__(self, models: Sequence[ModelVersion], statuses: Sequence[ModelStatus]) -> None:
        self._models = list(models)
        self._statuses = list(statuses)
        self._index: dict[tuple[str, str | None], ModelVersion] = {}
        for model in models:
            self._index[model.name, model.version] = model
            self._index[model.name, None] = model

    @classmethod
    def load(cls, repository: Path, settings: InferenceSettings) -> Self:
        """Load, warm and check everything under `repository`, which must be a folder.

        A version that is refused stands in `statuses` with its reason; the others are served.
        """
        models: list[ModelVersion] = []
        statuses: list[ModelStatus] = []
        for path in list_versions(repository):
            reason = ""
            try:
                models.append(load_version(path, settings))
            except ModelRefused as refusal:
                reason = refusal.reason
            statuses.append(
                ModelStatus(path.name, path.version, is_ready=not reason, reason=reason)
            )
        return cls(models, statuses)

    @classmethod
    async def load_vetted(cls, repository: Path, vetter: Vetter) -> Self:
        """Load what was vetted under `repository`, which must be a folder.

        All are vetted first, some at a time; they are loaded one after the other, as each is timed.
        """
        paths = await asyncio.to_thread(list_versions, repository)
        outcomes = await asyncio.gather(*(vetter.judge(path) for path in paths))
        models: list[ModelVersion] = []
        statuses: list[ModelStatus] = []
        for path, outcome in zip(paths, outcomes, strict=True):
            reason = outcome if isinstance(outcome, str) else ""
            try:
                if isinstance(outcome, VettingReport):
                    models.append(await vetter.load_checked(path, outcome))
            except ModelRefused as refusal:
                reason = refusal.reason
            statuses.append(
                ModelStatus(path.name, path.version, is_ready=not reason, reason=reason)
            )
        return cls(models, statuses)

    def resolve(self, name: str, selection: Selection = UNNAMED) -> ModelVersion:
        """Find a version; unnamed is the highest number that is ready.

        Raises:
            ModelNotFound: the repository has no such model, version or label.
            ModelNotReady: it has, but it did not load.
        """
        model = None if selection.label else self._index.get((name, selection.version))
        if model is None:
            raise self._absence(name, selection)
        return model

    def models(self) -> list[ModelVersion]:
        """List what is ready: by name, then by rising version."""
        return list(self._models)

    def statuses(self) -> list[ModelStatus]:
        """List everything that the repository holds, in the same order."""
        return list(self._statuses)

    def close(self) -> None:
        """Give back what the runtimes hold."""
        for model in self._models:
            model.runtime.close()

    def _absence(self, name: str, selection: Selection) -> ModelNotFound | ModelNotReady:
        version = selection.version or selection.label
        for status in self._statuses:
            if status.name == name and version in {None, status.version}:
                return ModelNotReady(name, status.reason)
        return ModelNotFound(name, version)
