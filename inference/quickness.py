"""Measure how long a warm model runs, and where a thread would cost more than the run.

A hand-over to a thread and back wakes two threads and passes the interpreter twice, which costs
more than a small model's run. Only runs whose time is known beforehand may stay on the event loop:
the graph has no operator whose work is set by values, every item has a fixed shape, and text comes
from a list of categories.
"""

from time import perf_counter, thread_time

import numpy as np
import onnx

from inference.batch_run import run_alone
from inference.contract import Contract
from inference.errors import InferenceError
from inference.manifest import Manifest
from inference.run_times import sizes_up_to
from inference.runtime import Runtime
from inference.signature import VARIABLE, Signature
from inference.tensors import BYTES, Tensors
from inference.verification import has_value_driven_work

_ROWS = (1, 4, 16, 64, 256, 1024)
_REPEATS = 5
_BUDGET_SECONDS = 1.0
"""For all sizes of a model together; what it does not reach is learned while serving."""

_LEAST_WORK = 0.02
"""A thread that had less of the processor did not compute the run itself."""


def has_known_time(model: onnx.ModelProto, signature: Signature, manifest: Manifest) -> bool:
    """Say whether the time of a run follows from its number of rows alone."""
    if has_value_driven_work(model) or any(VARIABLE in spec.row_shape for spec in signature.inputs):
        return False
    texts = {spec.name for spec in signature.inputs if spec.datatype == BYTES}
    kinds = {(feature.input or feature.name, feature.type) for feature in manifest.features}
    return all({kind for name, kind in kinds if name == text} == {"category"} for text in texts)


def measure_quick_rows(runtime: Runtime, contract: Contract, *, limit_seconds: float) -> int:
    """Measure how many rows run within a time; 0 where even the fewest do not.

    Each number of rows is run five times and the best counts: noise makes a model look slower than
    it is, never quicker. The measurement ends with the first number that takes too long.
    """
    quick = 0
    for rows in _ROWS:
        if rows < contract.fewest_rows or rows > contract.max_rows:
            continue
        tensors = _sample(runtime.signature, contract, rows)
        if tensors is None:
            break
        if min(_seconds(runtime, tensors) for _ in range(_REPEATS)) > limit_seconds:
            break
        quick = rows
    return quick


def measure_run_seconds(
    runtime: Runtime, contract: Contract, *, max_batch_size: int
) -> dict[int, float]:
    """Measure runs of 1, 2, 4 ... `max_batch_size` rows: rows to seconds of work, the best of five.

    Every size is run once before any is run again, so that a short time leaves none out. A size
    that fails, or that would take more time than is left, ends the measurement.
    """
    ends_at = perf_counter() + _BUDGET_SECONDS
    measured: dict[int, float] = {}
    sizes = [size for size in sizes_up_to(max_batch_size) if size >= contract.fewest_rows]
    for rows in sizes * _REPEATS:
        tensors = _sample(runtime.signature, contract, rows)
        if tensors is None or perf_counter() + measured.get(rows, 0.0) > ends_at:
            break
        began = thread_time()
        try:
            seconds = _seconds(runtime, tensors)
        except InferenceError:
            break
        work_seconds = thread_time() - began
        seconds = work_seconds if work_seconds > _LEAST_WORK * seconds else seconds
        measured[rows] = min(seconds, measured.get(rows, seconds))
    return measured


def _sample(signature: Signature, contract: Contract, rows: int) -> Tensors | None:
    """Make rows of the example, or of zeros; None where nobody knows how large an item is."""
    if contract.example_row is not None:
        return contract.rows_to_tensors([contract.example_row] * rows)
    if any(VARIABLE in spec.row_shape or spec.datatype == BYTES for spec in signature.inputs):
        return None
    return {
        spec.name: np.zeros((rows, *spec.row_shape), spec.type.dtype) for spec in signature.inputs
    }


def _seconds(runtime: Runtime, tensors: Tensors) -> float:
    started = perf_counter()
    outcome = run_alone(runtime, tensors)
    if isinstance(outcome, InferenceError):
        raise outcome
    return perf_counter() - started
