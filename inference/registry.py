"""Find loaded model versions by what a request names; what is found may change between requests."""

import asyncio
from collections.abc import Mapping, Sequence
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
    """The models that this process serves; used from one event loop.

    Whoever has found a version holds it (`ModelVersion.holders`), so a version that is shown no
    more answers those who found it before.
    """

    def __init__(
        self, models: Sequence[ModelVersion] = (), statuses: Sequence[ModelStatus] = ()
    ) -> None:
        self._models: dict[str, tuple[ModelVersion, ...]] = {}
        self._statuses: dict[str, tuple[ModelStatus, ...]] = {}
        self._labels: dict[str, dict[str, str]] = {}
        self._index: dict[tuple[str, Selection], ModelVersion] = {}
        for name in {status.name for status in statuses} | {model.name for model in models}:
            own = [model for model in models if model.name == name]
            self.show(
                name,
                own,
                default=own[-1] if own else None,
                statuses=[status for status in statuses if status.name == name],
            )

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

    def show(
        self,
        name: str,
        models: Sequence[ModelVersion],
        *,
        default: ModelVersion | None,
        labels: Mapping[str, str] | None = None,
        statuses: Sequence[ModelStatus] = (),
    ) -> None:
        """Let requests find these versions of a model from now on, and no others.

        Args:
            name: of the model.
            models: its versions that are served, by rising number.
            default: what answers where no version is named.
            labels: which version each label stands for; one that is not among `models` is not
                ready.
            statuses: of every version that there is, in the same order.
        """
        self._models[name] = tuple(models)
        self._statuses[name] = tuple(statuses)
        self._labels[name] = dict(labels or {})
        found = {key: model for key, model in self._index.items() if key[0] != name}
        by_version = {model.version: model for model in models}
        found |= {(name, Selection(version)): model for version, model in by_version.items()}
        for label, version in self._labels[name].items():
            if version in by_version:
                found[name, Selection(label=label)] = by_version[version]
        if default is not None:
            found[name, UNNAMED] = default
        self._index = found

    def resolve(self, name: str, selection: Selection = UNNAMED) -> ModelVersion:
        """Find a version; unnamed is the champion, else the highest number that is ready.

        Raises:
            ModelNotFound: there is no such model, version or label.
            ModelNotReady: there is, but it did not load.
        """
        model = self._index.get((name, selection))
        if model is None:
            raise self._absence(name, selection)
        return model

    def models(self) -> list[ModelVersion]:
        """List what is ready: by name, then by rising version."""
        return [model for _, models in sorted(self._models.items()) for model in models]

    def statuses(self) -> list[ModelStatus]:
        """List everything that there is, in the same order."""
        return [status for _, statuses in sorted(self._statuses.items()) for status in statuses]

    def labels(self, name: str) -> dict[str, str]:
        """Say which version each label of a model stands for."""
        return dict(self._labels.get(name, {}))

    def close(self) -> None:
        """Give back what the runtimes hold."""
        for model in self.models():
            model.runtime.close()

    def _absence(self, name: str, selection: Selection) -> ModelNotFound | ModelNotReady:
        wanted = selection.version
        if selection.label is not None:
            wanted = self._labels.get(name, {}).get(selection.label)
            if wanted is None:
                return ModelNotFound(name, selection.label)
        for status in self._statuses.get(name, ()):
            if wanted in {None, status.version}:
                return ModelNotReady(name, status.reason)
        return ModelNotFound(name, wanted)
