"""Answer with the highest classes of an output instead of its numbers.

Source: Triton, "Classification Extension": elements of BYTES that read `value:index[:label]`.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from inference.tensors import Tensor

MAX_CLASSES: Final = 1000
"""Of each row."""

MAX_TEXTS: Final = 65_536
"""Classes of all rows of a request: each is a text, which takes a microsecond or two to write."""

_WORTH_PARTING: Final = 4
"""A row that is so many times as long as what is wanted of it is not sorted whole."""


def top_classes(
    tensor: Tensor, count: int, *, has_rows: bool, labels: Sequence[str] = ()
) -> Tensor:
    """Name the `count` highest elements, of each row where there are rows.

    Equal elements come by rising index, and NaN comes last. Shape: [rows, count], or [count]
    without rows; fewer where the output has fewer elements. dtype: object, elements are text.
    """
    values = tensor if tensor.dtype.kind in "fiub" else tensor.astype(np.float32)
    rows = values.reshape(len(values), -1) if has_rows else values.reshape(1, -1)
    order = _highest(rows, count)
    chosen = np.take_along_axis(rows, order, axis=1)
    classes = np.empty(order.shape, object)
    for row in range(len(order)):
        for place, index in enumerate(order[row].tolist()):
            classes[row, place] = _class(chosen[row, place], index, labels)
    return classes if has_rows else classes.reshape(-1)


def _highest(rows: Tensor, count: int) -> Tensor:
    """Find the `count` highest of each row: the indices by falling value, stable."""
    comparable = rows
    if rows.dtype.kind == "f":
        comparable = np.where(np.isnan(rows), -np.inf, rows)
    width = comparable.shape[1]
    if width < _WORTH_PARTING * count:
        return _descending(comparable)[:, :count]
    least = np.partition(comparable, width - count, axis=1)[:, width - count, None]
    chosen = comparable >= least
    if np.count_nonzero(chosen) > len(rows) * count:
        level = comparable == least
        room = count - (comparable > least).sum(axis=1, keepdims=True)
        chosen &= ~level | (level.cumsum(axis=1) <= room)
    indices = np.flatnonzero(chosen).reshape(-1, count) % width
    order = _descending(np.take_along_axis(comparable, indices, axis=1))
    highest: Tensor = np.take_along_axis(indices, order, axis=1)
    return highest


def _descending(rows: Tensor) -> Tensor:
    """Sort the indices of each row by falling value, stable."""
    mirrored: Tensor = rows[:, ::-1].argsort(axis=1, kind="stable")[:, ::-1]
    order: Tensor = rows.shape[1] - 1 - mirrored
    return order


def _class(value: object, index: int, labels: Sequence[str]) -> str:
    label = f":{labels[index]}" if index < len(labels) else ""
    return f"{value}:{index}{label}"
