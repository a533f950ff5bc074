"""What SQL says of models, and the one view of it that every worker comes to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from inference.version_policy import VersionPolicy, newest_version, rising_versions

CHAMPION: Final = "champion"
"""The label that decides which version answers where none is named."""

VersionState = Literal["registered", "serving", "retired", "refused"]


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """One version of a model.

    `registered`: the workers prepare it, no caller sees it. `serving`: every worker had it in
    memory when it became visible. `retired`: withdrawn, its files stay. `refused`: it never served.
    """

    name: str
    version: str
    digest: str
    """SHA-256 over the files of the version, hexadecimal."""

    state: VersionState
    reason: str
    """Why it was refused; empty otherwise."""

    pushed_at: datetime
    pushed_by: str
    """The credential, the user of a command, or the part of the server that brought it."""


@dataclass(frozen=True, slots=True)
class LabelRecord:
    """A name for a version that can be moved to another."""

    name: str
    label: str
    version: str | None
    """What it stands for; None once it was taken away."""

    pending: str | None = None
    """What it will stand for as soon as every worker has it in memory."""

    is_return: bool = False
    """The pending version is one that it stood for before, and is going back to."""

    history: tuple[str, ...] = ()
    """What it stood for before, the latest last."""


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """What is decided of a model as a whole."""

    name: str
    policy: VersionPolicy
    is_loaded: bool


@dataclass(frozen=True, slots=True)
class Holding:
    """One version in the memory of a worker; with a reason, one that it could not load."""

    name: str
    version: str
    digest: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ModelChanges:
    """Everything that changed after a revision."""

    revision: int
    models: tuple[ModelRecord, ...]
    versions: tuple[VersionRecord, ...]
    labels: tuple[LabelRecord, ...]


@dataclass(frozen=True, slots=True)
class ModelView:
    """What callers see of one model."""

    name: str
    visible: tuple[str, ...]
    """The versions that are served, by rising number."""

    preparing: frozenset[str]
    """The versions that have to be in memory before they are served."""

    labels: Mapping[str, str]
    default: str | None
    """What answers where no version is named: the champion, else the highest number."""


@dataclass(slots=True)
class ModelBook:
    """The rows of one model, and what follows from them."""

    name: str
    policy: VersionPolicy = field(default_factory=VersionPolicy)
    is_loaded: bool = True
    versions: dict[str, VersionRecord] = field(default_factory=dict)
    labels: dict[str, LabelRecord] = field(default_factory=dict)

    def view(self) -> ModelView:
        """Say what callers see; the same for everybody who read the same rows.

        A version that a label stands for is served whatever the policy says.
        """
        serving = {item.version for item in self.versions.values() if item.state == "serving"}
        labels = {
            item.label: item.version
            for item in self.labels.values()
            if item.version is not None and item.version in serving
        }
        if not self.is_loaded:
            return ModelView(self.name, (), frozenset(), {}, None)
        visible = rising_versions({*self.policy.choose(serving), *labels.values()})
        pending = {item.pending for item in self.labels.values() if item.pending is not None}
        registered = {item.version for item in self.versions.values() if item.state == "registered"}
        default = labels.get(CHAMPION) or newest_version(visible)
        return ModelView(
            self.name, tuple(visible), frozenset(registered | pending), labels, default
        )


class ModelShelf:
    """All rows in memory, by model; used from one event loop."""

    def __init__(self) -> None:
        self.books: dict[str, ModelBook] = {}

    def apply(self, changes: ModelChanges) -> set[str]:
        """Take changes over; returns the names of the models that are not as they were."""
        touched: set[str] = set()
        for model in changes.models:
            book = self.book_of(model.name)
            if (book.policy, book.is_loaded) != (model.policy, model.is_loaded):
                touched.add(model.name)
            book.policy, book.is_loaded = model.policy, model.is_loaded
        for version in changes.versions:
            versions = self.book_of(version.name).versions
            if versions.get(version.version) != version:
                touched.add(version.name)
            versions[version.version] = version
        for label in changes.labels:
            labels = self.book_of(label.name).labels
            if labels.get(label.label) != label:
                touched.add(label.name)
            labels[label.label] = label
        return touched

    def book_of(self, name: str) -> ModelBook:
        """Find the rows of a model; none at first."""
        return self.books.setdefault(name, ModelBook(name))
