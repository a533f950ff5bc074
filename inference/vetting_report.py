"""What the server and the child that vets a version for it say to each other, as JSON lines.

Threat: the child has run a hostile model, so its answer is read strictly and within a bound, and
nothing in it is trusted but the verdict on the bytes whose digest it names.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from inference.settings import InferenceSettings
from inference.signature import Signature
from inference.version_files import Digests

MAX_ANSWER_BYTES: Final = 1024 * 1024
MAX_REASON_CHARACTERS: Final = 500
NOWHERE: Final = Path("/nonexistent")
"""Root of the repository for a child, which works on a copy."""

_STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, slots=True)
class VettingLimits:
    """What one vetting may use."""

    memory_bytes: int = 2 * 1024**3
    """Beyond four times the version's files, which parsing and loading them takes."""

    processor_seconds: int = 30
    """Over all threads."""

    wall_seconds: float = 330.0
    """From the start of the child to its answer."""


@dataclass(frozen=True, slots=True)
class Job:
    """What the child is to do; the numbers of the files are its descriptors."""

    name: str
    version: str
    model: int | None
    golden: int | None
    manifest: int | None
    owns_manifest: bool
    settings: InferenceSettings
    limits: VettingLimits


@dataclass(frozen=True, slots=True)
class VettingReport:
    """What was found out about a version that passed."""

    __pydantic_config__ = _STRICT

    digests: Digests
    """Of the very bytes that were checked."""

    signature: Signature
    """Empty where an engine has the model: only a server asks it."""

    max_batch_size: int
    """Rows that may share a run; 1 where the model mixes them."""

    run_seconds: dict[int, float]
    """Processor time of a run by its rows, up to the largest batch or until they took too long."""

    peak_bytes: int
    """Most memory that the child held at once, the interpreter and its packages included."""

    seconds: float
    """From the start of the child's work to its answer."""

    unprotected: tuple[str, ...] = ()
    """What the platform did not let the child give up, e.g. `system calls`."""


@dataclass(frozen=True, slots=True)
class Passed:
    """The version may be loaded."""

    __pydantic_config__ = _STRICT

    report: VettingReport
    verdict: Literal["passed"] = "passed"


@dataclass(frozen=True, slots=True)
class Refused:
    """The version may not be loaded."""

    __pydantic_config__ = _STRICT

    reason: str
    verdict: Literal["refused"] = "refused"


ANSWER: Final = TypeAdapter[Passed | Refused](
    Annotated[Passed | Refused, Field(discriminator="verdict")]
)
JOB: Final = TypeAdapter[Job](Job)


def printable(reason: str) -> str:
    """Make a reason fit for logs and terminals, whatever a model's author put into its names."""
    text = "".join(character if character.isprintable() else " " for character in reason)
    is_long = len(text) > MAX_REASON_CHARACTERS
    return f"{text[:MAX_REASON_CHARACTERS]}…" if is_long else text
