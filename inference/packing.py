"""Pack checked values into the tensor of one graph input."""

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any, Protocol

import numpy as np

from inference.errors import ContractViolated, InputInvalid, Violation
from inference.fields import Field
from inference.rows import MAX_VIOLATIONS, Columns, Rows
from inference.signature import TensorSpec
from inference.tensors import Tensor


class Packing(Protocol):
    """Make one input's tensor of values that were checked."""

    name: str

    def pack_rows(self, rows: Rows) -> Tensor:
        """Pack row form."""

    def pack_columns(self, columns: Columns) -> Tensor:
        """Pack column form."""


class FeaturePacking:
    """Pack named features as the columns of one input, or one feature as a whole input.

    Shape: [rows, features], or [rows] where the graph wants that. Text stays `str` in an object
    array, which ONNX Runtime takes as fast as any other form.
    """

    def __init__(self, spec: TensorSpec, names: Sequence[str]) -> None:
        self.name = spec.name
        self._names = tuple(names)
        self._get = itemgetter(*names)
        self._dtype = spec.type.dtype
        self._is_column = len(names) == 1 and len(spec.shape) > 1

    def pack_rows(self, rows: Rows) -> Tensor:
        """Pack row form."""
        return self._pack([self._get(row) for row in rows])

    def pack_columns(self, columns: Columns) -> Tensor:
        """Pack column form."""
        if len(self._names) == 1:
            return self._pack(columns[self._names[0]])
        lying = np.array([columns[name] for name in self._names], self._dtype)
        return np.ascontiguousarray(lying.T)

    def _pack(self, values: list[Any]) -> Tensor:
        tensor = np.array(values, self._dtype)
        return tensor.reshape(-1, 1) if self._is_column else tensor


class InputPacking:
    """Pack values that are whole rows of one input, nested as its shape says."""

    def __init__(self, spec: TensorSpec, field: Field) -> None:
        self.name = spec.name
        self._spec = spec
        self._field = field
        self._dtype = spec.type.dtype

    def pack_rows(self, rows: Rows) -> Tensor:
        """Pack row form; raises as `pack_columns`."""
        name = self.name
        return self._pack([row[name] for row in rows])

    def pack_columns(self, columns: Columns) -> Tensor:
        """Pack column form.

        Raises:
            ContractViolated: a finite number is too large for the datatype.
            InputInvalid: rows differ in their shape.
        """
        return self._pack(columns[self.name])

    def _pack(self, values: object) -> Tensor:
        try:
            tensor = array_of(values, self._dtype)
        except FloatingPointError:
            raise ContractViolated(self._overflows(values)) from None
        except ValueError:
            raise self._ragged() from None
        if tensor.ndim != len(self._spec.shape):
            raise self._ragged()
        return tensor

    def _ragged(self) -> InputInvalid:
        return InputInvalid(f"the rows of input {self.name} differ in shape")

    def _overflows(self, values: object) -> tuple[Violation, ...]:
        """Find the rows that hold a number which is finite only in a wider datatype."""
        with np.errstate(over="ignore"):
            wide = np.array(values, np.float64)
            is_bad = np.isinf(wide.astype(self._dtype)) & ~np.isinf(wide)
        expectation = self._field.expectation
        if is_bad.ndim == 0:
            return (Violation(None, self.name, expectation),)
        rows: Iterable[int] = np.unique(np.nonzero(is_bad)[0])[:MAX_VIOLATIONS].tolist()
        return tuple(Violation(row, self.name, expectation) for row in rows)


def array_of(values: object, dtype: np.dtype[Any]) -> Tensor:
    """Make an array.

    Raises:
        FloatingPointError: a finite number is too large for the datatype.
        ValueError: the values are ragged.
    """
    with np.errstate(over="raise"):
        if dtype.kind != "V":
            return np.array(values, dtype)
        wide = np.array(values, np.float32)
        with np.errstate(over="ignore"):
            tensor = wide.astype(dtype)
    if np.any(np.isinf(tensor) & np.isfinite(wide)):  # BF16 overflows in silence
        raise FloatingPointError
    return tensor
