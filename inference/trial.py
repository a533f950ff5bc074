"""Run a loaded version at rising numbers of rows, and see what that takes.

A version is tried with its example, else with zeros, up to its largest batch: memory that only a
full batch asks for is asked for here, where it is bounded.
"""

import math
from collections.abc import Iterator
from time import process_time

import numpy as np

from inference.batch_run import run_alone
from inference.errors import InferenceError, ModelFailed, ModelRefused
from inference.loading import ModelVersion
from inference.signature import VARIABLE, TensorSpec
from inference.tensors import BYTES, Tensor, Tensors

_MAX_ELEMENTS = 64 * 1024 * 1024
_OUT_OF_MEMORY = ("MemoryError", "bad_alloc", "Failed to allocate memory", "bad allocation")


def try_rows(version: ModelVersion, *, budget_seconds: float) -> dict[int, float]:
    """Time runs of 1, 2, 4 … rows up to the largest batch, as far as the budget goes.

    Time is the processor's, so that a busy machine does not make a model look slow. Values that
    are made up may be none that the model takes; then nothing more is tried.

    Raises:
        ModelRefused: the model needs more memory than there is, or fails on its own example.
    """
    seconds: dict[int, float] = {}
    ends_at = process_time() + budget_seconds
    for rows in _row_counts(version):
        tensors = _tensors_of(version, rows)
        if tensors is None:
            break
        took = _run(version, tensors)
        if took is None:
            break
        seconds[rows] = took
        if process_time() + 2 * took > ends_at:
            break
    return seconds


def is_out_of_memory(debug: str) -> bool:
    """Say whether an engine's message is about memory that it did not get."""
    return any(sign in debug for sign in _OUT_OF_MEMORY)


def _row_counts(version: ModelVersion) -> Iterator[int]:
    rows = version.contract.fewest_rows
    while rows < version.max_batch_size:
        yield rows
        rows *= 2
    yield max(version.max_batch_size, version.contract.fewest_rows)


def _tensors_of(version: ModelVersion, rows: int) -> Tensors | None:
    if version.example is not None:
        return version.contract.rows_to_tensors([version.example] * rows)
    specs = version.signature.inputs
    if sum(math.prod(_shape(spec, rows)) for spec in specs) > _MAX_ELEMENTS:
        return None
    return {spec.name: _zeros(spec, rows) for spec in specs}


def _zeros(spec: TensorSpec, rows: int) -> Tensor:
    if spec.datatype == BYTES:
        return np.full(_shape(spec, rows), "", dtype=object)
    return np.zeros(_shape(spec, rows), spec.type.dtype)


def _shape(spec: TensorSpec, rows: int) -> tuple[int, ...]:
    """Take a variable size for 1, and that of axis 0 for the number of rows."""
    sizes = [1 if size == VARIABLE else size for size in spec.shape]
    if spec.shape and spec.shape[0] == VARIABLE:
        sizes[0] = rows
    return tuple(sizes)


def _run(version: ModelVersion, tensors: Tensors) -> float | None:
    """Time one run on the processor; None where the model cannot take what was made up."""
    started = process_time()
    outcome = run_alone(version.runtime, tensors)
    seconds = process_time() - started
    if not isinstance(outcome, InferenceError):
        return seconds
    if isinstance(outcome, ModelFailed) and is_out_of_memory(outcome.debug):
        rows = max((len(tensor) for tensor in tensors.values() if tensor.ndim), default=1)
        raise ModelRefused(version.name, f"at {rows} rows a run takes more memory than it may")
    return None
