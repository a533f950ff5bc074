"""Two versions of one model, and a trial of the second."""

from dataclasses import dataclass, field, replace
from typing import Any

from inference.errors import ModelNotFound
from inference.holders import Holders
from inference.routing import Route, Selection
from tests.unit.inference.fakes import DoublingRuntime

SHADOW = Route(
    name="m",
    challenger="2",
    weight=0.0,
    sticky="tenant",
    budget=1.0,
    tolerance=1e-3,
    trial=7,
)


def route_with(**changes: Any) -> Route:  # noqa: ANN401 - as the members are
    """Change some members of a route."""
    return replace(SHADOW, **changes)


@dataclass(eq=False)
class FakeVersion:
    """A version of which only its runtime and its holders are looked at."""

    version: str
    name: str = "m"
    unit_weight: int = 1
    runtime: DoublingRuntime = field(default_factory=DoublingRuntime)
    holders: Holders = field(default_factory=Holders)


class FakeRegistry:
    """Versions 1, the champion, and 2 of the model `m`."""

    def __init__(self, *, missing: Exception | None = None) -> None:
        """Have no version 2 where `missing` says why."""
        self.versions = {version: FakeVersion(version) for version in ("1", "2")}
        self._missing = missing

    def resolve(self, name: str, selection: Selection) -> FakeVersion:
        """Find a version."""
        if selection.version == "2" and self._missing is not None:
            raise self._missing
        if selection.version is None:
            return self.versions["1"]
        if selection.version not in self.versions:
            raise ModelNotFound(name, selection.version)
        return self.versions[selection.version]
