"""Answer with the highest classes of an output instead of its numbers.

Source: Triton, "Classification Extension": elements of BYTES that read `value:index[:label]`.
"""

from collections.abc import Sequence

import numpy as np

from inference.tensors import Tensor


def top_classes(
    tensor: Tensor, count: int, *, has_rows: bool, labels: Sequence[str] = ()
) -> Tensor:
    """Name the `count` highest elements, of each row where there are rows.

    Equal elements come by rising index, and NaN comes last. Shape: [rows, count], or [count]
    without rows; fewer where the output has fewer elements. dtype: object, elements are text.
    """
    values = tensor if tensor.dtype.kind in "fiub" else tensor.astype(np.float32)
    rows = values.reshape(len(values), -1) if has_rows else values.reshape(1, -1)
    order = _descending(rows)[:, :count]
    chosen = np.take_along_axis(rows, order, axis=1)
    classes = np.empty(order.shape, object)
    for row in range(len(order)):
        for place, index in enumerate(order[row].tolist()):
            classes[row, place] = _class(chosen[row, place], index, labels)
    return classes if has_rows else classes.reshape(-1)


def _descending(rows: Tensor) -> Tensor:
    """Sort the indices of each row by falling value, stable."""
    comparable = rows
    if rows.dtype.kind == "f":
        comparable = np.where(np.isnan(rows), -np.inf, rows)
    mirrored: Tensor = comparable[:, ::-1].argsort(axis=1, kind="stable")[:, ::-1]
    order: Tensor = rows.shape[1] - 1 - mirrored
    return order


def _class(value: object, index: int, labels: Sequence[str]) -> str:
    label = f":{labels[index]}" if index < len(labels) else ""
    return f"{value}:{index}{label}"
