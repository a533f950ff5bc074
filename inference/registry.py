"""Load every version of every model of a repository, and find them by name."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from inference.contract import Contract
from inference.runtime import Runtime
from inference.settings import InferenceSettings
from inference.signature import Signature


@dataclass(frozen=True, slots=True)
class OutputDoc:
    """What `model.toml` says about one output of the graph."""

    name: str
    description: str = ""
    unit: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class ModelVersion:
    """One loaded version of a model, ready to run; equal to itself alone."""

    name: str
    version: str
    signature: Signature
    contract: Contract
    description: str
    unit_weight: int
    """Units billed for each row."""

    max_batch_size: int
    max_queue_rows: int
    outputs: tuple[OutputDoc, ...]
    example: object
    """One row of a request, or None."""

    runtime: Runtime


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

    @classmethod
    def load(cls, repository: Path, settings: InferenceSettings) -> Self:
        """Load, warm and check everything under `repository`."""
        raise NotImplementedError

    def resolve(self, name: str, version: str | None = None) -> ModelVersion:
        """Find a version; None is the highest number."""
        raise NotImplementedError

    def models(self) -> list[ModelVersion]:
        """List what is ready: by name, then by rising version."""
        raise NotImplementedError

    def statuses(self) -> list[ModelStatus]:
        """List everything that the repository holds, in the same order."""
        raise NotImplementedError

    def close(self) -> None:
        """Give back what the runtimes hold."""
        raise NotImplementedError
