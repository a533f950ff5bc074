"""What can go wrong between a caller's values and a model's answer.

InferenceError
├── ModelNotFound               no model or no version of that name
├── ModelNotReady               the model is there, but did not load or is closed
├── ModelRefused                a model file or its `model.toml` is not acceptable
├── VettingFailed               a model could not be checked, which says nothing about it
├── InputInvalid                the values have not the shape, datatype or names of the inputs
├── ContractViolated            rows break the model's contract; each violation names its place
├── TooManyRows                 more rows in one request than the queue can ever hold
├── QueueFull                   the model's queue has no room for these rows now
├── DeadlineExceeded            the deadline passed before the answer was there
├── EngineUnavailable           the engine that runs the model is away, too slow or too busy
└── ModelFailed                 the model itself failed on these rows
"""

from dataclasses import dataclass
from typing import Final


class InferenceError(Exception):
    """Something that the pillar `inference` refuses or cannot do."""


class ModelNotFound(InferenceError):
    """There is no such model, or no such version of it."""

    def __init__(self, name: str, version: str | None = None) -> None:
        super().__init__(f"no model {name!r}, version {version!r}")
        self.name = name
        self.version = version


class ModelNotReady(InferenceError):
    """The model is in the repository but cannot answer; `reason` is for the log alone."""

    def __init__(self, name: str, reason: str = "") -> None:
        super().__init__(f"model {name!r} is not ready")
        self.name = name
        self.reason = reason


class ModelRefused(InferenceError):
    """A model file, its `model.toml` or its golden samples are not acceptable."""

    def __init__(self, name: str, reason: str, *, may_pass: bool = False) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason
        self.may_pass = may_pass
        """Whether the same files may be acceptable later: an engine is away."""


class VettingFailed(InferenceError):
    """A model version could not be checked; `debug` is for the log."""

    def __init__(self, name: str, debug: str) -> None:
        super().__init__(f"model {name!r} could not be checked")
        self.name = name
        self.debug = debug


class InputInvalid(InferenceError):
    """The values have not the container, shape, datatype or names that the model's inputs have.

    `message` is public and never quotes the values.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class Violation:
    """One place where the caller's values break the contract; never holds those values."""

    row: int | None
    """Position on axis 0, counted from 0; None where the fault is not in one row."""

    feature: str | None
    """The contract's own name of the feature or input; None where the fault is the whole row."""

    message: str

    def __str__(self) -> str:
        """Say it in one sentence, e.g. "row 3: lotsize must be a number"."""
        place = "" if self.row is None else f"row {self.row}: "
        return f"{place}{self.feature or 'it'} {self.message}"


class ContractViolated(InferenceError):
    """Rows break the model's contract; `violations` holds the first ten at most."""

    def __init__(self, violations: tuple[Violation, ...]) -> None:
        super().__init__("; ".join(map(str, violations)))
        self.violations = violations


class TooManyRows(InferenceError):
    """One request has more rows than the model's queue can ever hold."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"at most {limit} rows in one request")
        self.limit = limit


class QueueFull(InferenceError):
    """The model's queue has no room now; the request was not run."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"the queue is full, retry after {retry_after_seconds} s")
        self.retry_after_seconds = retry_after_seconds


class DeadlineExceeded(InferenceError):
    """The request's deadline passed before its answer was there."""


class EngineUnavailable(InferenceError):
    """The server that runs the model does not answer; `debug` is for the log alone."""

    def __init__(self, retry_after_seconds: int, debug: str) -> None:
        super().__init__(f"the engine is unavailable: {debug}")
        self.retry_after_seconds = retry_after_seconds
        self.debug = debug


class ModelFailed(InferenceError):
    """The model failed on these rows alone; `debug` is for the log, never for the caller."""

    def __init__(self, debug: str) -> None:
        super().__init__("the model failed")
        self.debug = debug


RUN_FAILURES: Final = (DeadlineExceeded, EngineUnavailable, InputInvalid, ModelFailed)
"""What a request that a version was given can end in without its answer."""
