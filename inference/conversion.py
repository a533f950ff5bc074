"""Turn a fitted scikit-learn estimator in a joblib file into a graph, in a process of its own.

Threat: such a file is a pickle, and to read it is to run whatever its author put there. The child
has no network, no variables of ours and bounded means, but the rights of whoever starts it.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from inference.errors import ModelRefused
from inference.vetting_report import printable

NEEDS: Final = ("joblib", "skl2onnx", "sklearn")
"""Packages of the extra `convert`."""

_MOST_WARNINGS: Final = 5


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ConversionLimits(_Message):
    """What one conversion may use."""

    memory_bytes: int = 4 * 1024**3
    processor_seconds: int = 300
    wall_seconds: float = 600.0


class ConversionJob(_Message):
    """What the child is to do."""

    text_columns: tuple[str, ...] = ()
    """Columns that hold text; the others hold numbers."""

    samples: tuple[tuple[str | float, ...], ...] = ()
    """Rows to predict, in the order of the columns."""

    limits: ConversionLimits = ConversionLimits()


class ConvertedFeature(_Message):
    """One column that the estimator was fitted with."""

    name: str
    input: str
    type: Literal["number", "string"]


class Conversion(_Message):
    """What came of an estimator; the graph follows on the channel."""

    estimator: str
    features: tuple[ConvertedFeature, ...]
    outputs: tuple[str, ...]
    predictions: tuple[object, ...]
    """What the estimator itself says of the samples, as V1 would answer."""

    warnings: tuple[str, ...] = ()
    refusal: str = ""
    """Why there is no graph; empty where there is one."""


def missing_packages() -> list[str]:
    """Name the packages of the extra that are not installed."""
    return [name for name in NEEDS if importlib.util.find_spec(name) is None]


def convert(name: str, file: Path, job: ConversionJob) -> tuple[Conversion, bytes]:
    """Convert the estimator in a file that is trusted; returns what came of it, and the graph.

    Cost: a process of some 300 MB for several seconds.

    Raises:
        ModelRefused: it is no estimator that can be converted, or took more than its limits.
        OSError: the file cannot be read.
    """
    environment = {"LANG": "C.UTF-8", "HOME": "/nonexistent", "OPENBLAS_NUM_THREADS": "1"}
    environment |= {"OMP_NUM_THREADS": "1", "JOBLIB_MULTIPROCESSING": "0"}
    with file.open("rb") as opened:
        try:
            done = subprocess.run(  # noqa: S603 - our own module
                [sys.executable, "-I", "-m", "inference.conversion_child", job.model_dump_json()],
                stdin=opened,
                capture_output=True,
                timeout=job.limits.wall_seconds,
                env=environment,
                cwd=os.sep,
                check=False,
            )
        except subprocess.TimeoutExpired:
            reason = f"it was not converted within {job.limits.wall_seconds:g} s"
            raise ModelRefused(name, reason) from None
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise ModelRefused(name, f"its conversion failed: {printable(last) or done.returncode}")
    return _understand(name, done.stdout)


def _understand(name: str, answer: bytes) -> tuple[Conversion, bytes]:
    line, _, graph = answer.partition(b"\n")
    try:
        conversion = Conversion.model_validate_json(line)
    except ValidationError:
        raise ModelRefused(name, "its conversion gave no answer") from None
    if conversion.refusal:
        raise ModelRefused(name, printable(conversion.refusal))
    warnings = tuple(map(printable, conversion.warnings[:_MOST_WARNINGS]))
    return conversion.model_copy(update={"warnings": warnings}), graph
