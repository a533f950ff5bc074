"""Hold whole tensors to the rules that named features set for JSON values.

A tensor that a caller sends ready-made must not carry what the same caller could not write as rows:
numbers under a minimum, words that are no category, NaN where none is allowed.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.errors import InputInvalid, Violation
from inference.fields import Field, number_limits
from inference.manifest import Feature
from inference.rows import MAX_VIOLATIONS
from inference.signature import VARIABLE, TensorSpec
from inference.tensors import Datatype, Tensor

Mask = NDArray[np.bool_]


def check_declaration(spec: TensorSpec, datatype: str, shape: Sequence[int]) -> None:
    """Pass if an input of this datatype and shape is one that the graph takes.

    A variable dimension takes any size but none at all. Cost: nothing is allocated.

    Raises:
        InputInvalid: it is not.
    """
    if datatype != spec.datatype:
        raise InputInvalid(f"input {spec.name} is {spec.datatype}")
    is_fitting = len(shape) == len(spec.shape) and all(
        given >= 1 if wanted == VARIABLE else given == wanted
        for given, wanted in zip(shape, spec.shape, strict=True)
    )
    if not is_fitting:
        sizes = ", ".join("any" if size == VARIABLE else str(size) for size in spec.shape)
        raise InputInvalid(f"input {spec.name} has the shape [{sizes}]")


class ColumnRules:
    """The rules of the features that are the columns of one input, compiled once.

    Shape of what they are held against: [rows, features], or [rows] for one feature.
    """

    def __init__(
        self, spec: TensorSpec, features: Sequence[Feature], fields: Sequence[Field]
    ) -> None:
        self.name = spec.name
        self._fields = tuple(fields)
        self._categories = [
            None if feature.categories is None else frozenset(feature.categories)
            for feature in features
        ]
        self._bounds = _Bounds(spec.type, features) if spec.type.dtype.kind in "fiuV" else None

    @property
    def json_schemas(self) -> list[dict[str, object]]:
        """Describe the elements of one row as they stand in the tensor."""
        has_flags = self._bounds is not None
        return [
            {"enum": [0, 1]}
            if has_flags and field.json_schema["type"] == "boolean"
            else field.json_schema
            for field in self._fields
        ]

    def violations(self, tensor: Tensor) -> list[Violation]:
        """List the first ten things that are wrong, row by row."""
        columns = tensor.reshape(len(tensor), len(self._fields))
        wrong = self._wrong_words(columns) if self._bounds is None else self._bounds.wrong(columns)
        if not wrong.any():
            return []
        return [
            Violation(row, self._fields[column].name, self._fields[column].expectation)
            for row, column in np.argwhere(wrong)[:MAX_VIOLATIONS].tolist()
        ]

    def _wrong_words(self, columns: Tensor) -> Mask:
        """Find text that is no category; truth values and free text are never wrong."""
        wrong = np.zeros(columns.shape, np.bool_)
        for number, categories in enumerate(self._categories):
            if categories is not None:
                words = columns[:, number].tolist()
                wrong[:, number] = [word not in categories for word in words]
        return wrong


class _Bounds:
    """Least and greatest number of each column, in the tensor's own datatype."""

    def __init__(self, datatype: Datatype, features: Sequence[Feature]) -> None:
        dtype = datatype.dtype
        limits = [_limits(datatype, feature) for feature in features]
        self._low = np.array([low for low, _ in limits], dtype)
        self._high = np.array([high for _, high in limits], dtype)
        self._may_be_nan = np.array([feature.allow_nan for feature in features])
        self._is_whole = np.array(
            [datatype.is_float and feature.type in {"integer", "boolean"} for feature in features]
        )

    def wrong(self, columns: Tensor) -> Mask:
        """Find numbers beyond their bounds, fractions of whole numbers, and unwanted NaN."""
        is_good: Mask = (columns >= self._low) & (columns <= self._high)
        if self._may_be_nan.any():
            is_good |= np.isnan(columns) & self._may_be_nan
        if self._is_whole.any():
            is_good &= (np.trunc(columns) == columns) | ~self._is_whole
        return ~is_good


def _limits(datatype: Datatype, feature: Feature) -> tuple[Any, Any]:
    """Find the least and the greatest value; without bounds those of the datatype, or infinity."""
    if feature.type == "boolean":
        return 0, 1
    low, high = _widest(datatype, allow_nan=feature.allow_nan)
    least = low if feature.minimum is None else feature.minimum
    most = high if feature.maximum is None else feature.maximum
    return min(max(low, least), high), max(min(high, most), low)


def _widest(datatype: Datatype, *, allow_nan: bool) -> tuple[Any, Any]:
    return (-np.inf, np.inf) if allow_nan else number_limits(datatype)
