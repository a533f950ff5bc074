"""Find how many rows a model runs so quickly that handing them to a thread would cost more.

A hand-over to a thread and back wakes two threads and passes the interpreter twice, which costs
more than a small model's run. Only runs whose time is known beforehand may stay on the event loop:
the graph has no operator whose work is set by values, every item has a fixed shape, and text comes
from a list of categories.
"""

from time import perf_counter

import onnx

from inference.contract import Contract
from inference.manifest import Manifest
from inference.runtime import Runtime
from inference.signature import VARIABLE, Signature
from inference.tensors import BYTES, Tensors
from inference.verification import has_value_driven_work

_ROWS = (1, 4, 16, 64, 256, 1024)
_REPEATS = 5


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
        tensors = contract.rows_to_tensors([contract.example_row] * rows)
        if min(_seconds(runtime, tensors) for _ in range(_REPEATS)) > limit_seconds:
            break
        quick = rows
    return quick


def _seconds(runtime: Runtime, tensors: Tensors) -> float:
    started = perf_counter()
    runtime.run(tensors)
    return perf_counter() - started
