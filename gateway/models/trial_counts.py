"""Count what a trial shows, so that the counts of several workers can be added up.

Everything is bounded: by the versions that took part, and by sixteen outputs of each pair.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from pydantic import TypeAdapter

from inference.agreement import RequestComparison
from inference.estimates import Clusters, Durations, Moments
from inference.routing import Route


@dataclass(slots=True)
class VersionCounts:
    """What one version did with the requests that it answered, or was asked beside another."""

    rows: int = 0
    errors: int = 0
    seconds: Durations = field(default_factory=Durations)
    """Of the requests that it answered."""

    @property
    def requests(self) -> int:
        """How many it was asked, errors included."""
        return self.seconds.moments.count + self.errors

    def merge(self, other: "VersionCounts") -> None:
        """Take in what was seen elsewhere."""
        self.rows += other.rows
        self.errors += other.errors
        self.seconds.merge(other.seconds)


@dataclass(slots=True)
class OutputCounts:
    """How one output of two versions compares. Differences are the challenger's less the other's.

    A request is one value, the mean over its numbers: rows of one request are no independent ones.
    """

    agreed: Clusters = field(default_factory=Clusters)
    difference: Moments = field(default_factory=Moments)
    distance: Moments = field(default_factory=Moments)
    largest: float = 0.0

    def merge(self, other: "OutputCounts") -> None:
        """Take in what was seen elsewhere."""
        self.agreed.merge(other.agreed)
        self.difference.merge(other.difference)
        self.distance.merge(other.distance)
        self.largest = max(self.largest, other.largest)


@dataclass(slots=True)
class PairCounts:
    """How the answers of two versions to the same requests compare."""

    agreed: Clusters = field(default_factory=Clusters)
    outputs: dict[str, OutputCounts] = field(default_factory=dict)

    def add(self, comparison: RequestComparison) -> None:
        """Take one request in."""
        self.agreed.add(comparison.agreed_rows, comparison.rows)
        for output in comparison.outputs:
            counts = self.outputs.setdefault(output.output, OutputCounts())
            counts.agreed.add(output.agreed_rows, comparison.rows)
            if output.difference is not None and output.distance is not None:
                counts.difference.add(output.difference)
                counts.distance.add(output.distance)
            counts.largest = max(counts.largest, output.largest)

    def merge(self, other: "PairCounts") -> None:
        """Take in what was seen elsewhere."""
        self.agreed.merge(other.agreed)
        for name, counts in other.outputs.items():
            self.outputs.setdefault(name, OutputCounts()).merge(counts)


@dataclass(slots=True)
class TrialCounts:
    """Everything that a trial shows, by versions."""

    served: dict[str, VersionCounts] = field(default_factory=dict)
    """By version: of the requests that it answered to callers who named no version."""

    mirrored: dict[str, VersionCounts] = field(default_factory=dict)
    """By version: of the requests that it was asked in the shadow of the other."""

    pairs: dict[str, PairCounts] = field(default_factory=dict)
    """By `champion:challenger`."""


Counts: TypeAlias = VersionCounts | PairCounts
SERVED: Final = "served"
MIRRORED: Final = "mirrored"
PAIR: Final = "pair"
_VERSION_FORM: Final = TypeAdapter(VersionCounts)
_PAIR_FORM: Final = TypeAdapter(PairCounts)


class Subject(NamedTuple):
    """What counts are of."""

    name: str
    """The model's."""

    trial: int
    kind: str
    versions: str

    @property
    def text(self) -> str:
        """Name it within its trial."""
        return f"{self.kind}:{self.versions}"


class TrialBook:
    """Count in the memory of one worker until the counts are taken to SQL."""

    def __init__(self) -> None:
        self._versions: dict[Subject, VersionCounts] = {}
        self._pairs: dict[Subject, PairCounts] = {}

    def answered(self, route: Route, version: str, *, rows: int, seconds: float) -> None:
        """Count a request that a version answered."""
        counts = self._version(Subject(route.name, route.trial, SERVED, version))
        counts.rows += rows
        counts.seconds.add(seconds)

    def failed(self, route: Route, version: str) -> None:
        """Count a request that a version could not answer."""
        self._version(Subject(route.name, route.trial, SERVED, version)).errors += 1

    def mirrored(self, route: Route, version: str, *, rows: int, seconds: float | None) -> None:
        """Count a request that a version was asked in the shadow; None: it could not answer."""
        counts = self._version(Subject(route.name, route.trial, MIRRORED, version))
        if seconds is None:
            counts.errors += 1
            return
        counts.rows += rows
        counts.seconds.add(seconds)

    def compared(self, route: Route, champion: str, comparison: RequestComparison) -> None:
        """Count a request that both versions answered."""
        versions = f"{champion}:{route.challenger}"
        subject = Subject(route.name, route.trial, PAIR, versions)
        self._pairs.setdefault(subject, PairCounts()).add(comparison)

    def take(self) -> dict[Subject, Counts]:
        """Hand everything over, and begin anew."""
        taken: dict[Subject, Counts] = {**self._versions, **self._pairs}
        self._versions, self._pairs = {}, {}
        return taken

    def put_back(self, counts: dict[Subject, Counts]) -> None:
        """Take back what could not be handed over."""
        for subject, seen in counts.items():
            if isinstance(seen, PairCounts):
                self._pairs.setdefault(subject, PairCounts()).merge(seen)
            else:
                self._version(subject).merge(seen)

    def _version(self, subject: Subject) -> VersionCounts:
        counts = self._versions.get(subject)
        if counts is None:
            counts = self._versions[subject] = VersionCounts()
        return counts


def counts_to_json(counts: Counts) -> object:
    """Write counts down as SQL keeps them."""
    if isinstance(counts, PairCounts):
        return _PAIR_FORM.dump_python(counts, mode="json")
    return _VERSION_FORM.dump_python(counts, mode="json")


def sum_with_stored(seen: Counts, stored: object) -> Counts:
    """Return what SQL has together with new counts of the same subject, which stay as they are."""
    if isinstance(seen, PairCounts):
        pair = _PAIR_FORM.validate_python(stored)
        pair.merge(seen)
        return pair
    version = _VERSION_FORM.validate_python(stored)
    version.merge(seen)
    return version


def counts_from(rows: Iterable[tuple[str, object]]) -> TrialCounts:
    """Read the subjects and counts of one trial as SQL keeps them."""
    trial = TrialCounts()
    for text, stored in rows:
        kind, _, versions = text.partition(":")
        if kind == PAIR:
            trial.pairs[versions] = _PAIR_FORM.validate_python(stored)
        elif kind == SERVED:
            trial.served[versions] = _VERSION_FORM.validate_python(stored)
        else:
            trial.mirrored[versions] = _VERSION_FORM.validate_python(stored)
    return trial
