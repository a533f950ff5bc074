"""Compare what two versions of a model answer to the same rows."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from inference.tensors import Tensor, Tensors

MOST_OUTPUTS: Final = 16
"""Outputs that are told of one by one; the others count in whether a row agrees."""

_MOST_APART: Final = 1e100
"""What is further apart counts as that, so that sums of squares stay numbers."""


class OutputComparison(NamedTuple):
    """How one output of one request compares; differences are the challenger's less the other's."""

    output: str
    agreed_rows: int
    difference: float | None
    """Mean over all numbers that are finite in both; None where there is none."""

    distance: float | None
    """Mean of the same without their signs."""

    largest: float
    """The largest of the same without its sign."""


class RequestComparison(NamedTuple):
    """How the answers to one request compare."""

    rows: int
    agreed_rows: int
    """Rows that agree in every output."""

    outputs: tuple[OutputComparison, ...]


def compare_answers(
    champion: Tensors, challenger: Tensors, *, tolerance: float
) -> RequestComparison:
    """Compare two answers to the same rows.

    Shape: outputs of a like name should have a like shape; a row is an item of axis 0 where all
    outputs of the champion have as many, else the whole answer is one row. Floats agree when they
    are not further apart than `tolerance` times the larger of them, or both are NaN; everything
    else, class numbers too, when it is equal. An output that only one of them has, or that has
    another shape, agrees nowhere.
    """
    rows = _common_rows(champion)
    agrees = np.ones(rows, np.bool_)
    agrees &= champion.keys() == challenger.keys()
    compared = []
    for name, output in champion.items():
        other = challenger.get(name)
        comparison, agreeing = _compare(name, output, other, rows=rows, tolerance=tolerance)
        agrees &= agreeing
        compared.append(comparison)
    return RequestComparison(rows, int(agrees.sum()), tuple(compared[:MOST_OUTPUTS]))


def _common_rows(outputs: Tensors) -> int:
    lengths = {len(output) if output.ndim else 0 for output in outputs.values()}
    length = lengths.pop() if len(lengths) == 1 else 0
    return length or 1


def _compare(
    name: str, output: Tensor, other: Tensor | None, *, rows: int, tolerance: float
) -> tuple[OutputComparison, NDArray[np.bool_]]:
    if other is None or other.shape != output.shape or _kind(other) != _kind(output):
        return OutputComparison(name, 0, None, None, 0.0), np.zeros(rows, np.bool_)
    if _kind(output) != "number":
        agreeing = _by_row(np.asarray(output == other, np.bool_), rows)
        return OutputComparison(name, int(agreeing.sum()), None, None, 0.0), agreeing
    agreeing = _by_row(_agrees(output, other, tolerance), rows)
    return OutputComparison(name, int(agreeing.sum()), *_distances(output, other)), agreeing


def _agrees(output: Tensor, other: Tensor, tolerance: float) -> NDArray[np.bool_]:
    same = np.asarray(output == other, np.bool_)
    if output.dtype.kind != "f":
        return same
    ours, theirs = output.astype(np.float64), other.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        near = np.abs(theirs - ours) <= tolerance * np.maximum(np.abs(ours), np.abs(theirs))
    return np.asarray(near | same | (np.isnan(ours) & np.isnan(theirs)), np.bool_)


def _distances(output: Tensor, other: Tensor) -> tuple[float | None, float | None, float]:
    with np.errstate(invalid="ignore", over="ignore"):
        apart = other.astype(np.float64) - output.astype(np.float64)
    finite = np.clip(apart[np.isfinite(apart)], -_MOST_APART, _MOST_APART)
    if not finite.size:
        return None, None, 0.0
    sizes = np.abs(finite)
    return float(finite.mean()), float(sizes.mean()), float(sizes.max())


def _by_row(cells: NDArray[np.bool_], rows: int) -> NDArray[np.bool_]:
    agreeing: NDArray[np.bool_] = np.all(cells.reshape(rows, -1), axis=1)
    return agreeing


def _kind(tensor: Tensor) -> str:
    return "number" if tensor.dtype.kind in "fiu" else tensor.dtype.kind
