"""Make tensors of the JSON lists that the Open Inference Protocol calls `data`.

Source: Open Inference Protocol 2, "Tensor Data": row-major, nested as the shape says or flat.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Any

import numpy as np
from pydantic_core import SchemaValidator, ValidationError, core_schema

from inference.errors import InputInvalid
from inference.fields import element_schema, text_schema
from inference.packing import array_of
from inference.tensors import BF16, BYTES, DATATYPES, Datatype, Tensor

BINARY_ONLY = frozenset({"FP16", BF16})
"""Datatypes that have no form in JSON."""


_PACKED = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP32", "FP64")
_FORMATS: Mapping[str, str] = MappingProxyType(dict(zip(_PACKED, "bhiqBHIQfd", strict=True)))
"""The letters of `struct`, which packs a list in a third of the time that NumPy takes."""


def _validator(datatype: Datatype) -> SchemaValidator:
    element = text_schema() if datatype.name == BYTES else element_schema(datatype)
    return SchemaValidator(core_schema.list_schema(element, strict=True, fail_fast=True))


_ELEMENTS: Mapping[str, SchemaValidator] = MappingProxyType(
    {name: _validator(datatype) for name, datatype in DATATYPES.items()}
)


def tensor_from_json(
    data: object,
    datatype: Datatype,
    shape: Sequence[int],
    *,
    name: str,
    is_numeric: bool = False,
) -> Tensor:
    """Make the tensor of the input `name` out of JSON values.

    Shape: as given, no size negative. Numbers are taken strictly: no text, no truth value and no
    null is one, and 3.0 is a whole number. NaN and infinity are numbers of the float datatypes.
    With `is_numeric` somebody has looked that there is no truth value: the tensor is made sooner,
    and must not be written to.

    Raises:
        InputInvalid: data and shape do not fit together, an element is not of the datatype, or the
            datatype has no form in JSON.
    """
    if datatype.name in BINARY_ONLY:
        raise InputInvalid(f"input {name} is {datatype.name}, which only binary data carries")
    flat = _flattened(data, shape, name=name)
    if len(flat) != math.prod(shape):
        raise InputInvalid(f"input {name} has another number of elements than its shape asks for")
    packed = _packed(flat, datatype) if is_numeric else None
    if packed is not None:
        return packed.reshape(shape)
    try:
        elements = _ELEMENTS[datatype.name].validate_python(flat)
        return _array(elements, datatype).reshape(shape)
    except (ValidationError, FloatingPointError):
        raise InputInvalid(f"input {name} has data that {datatype.name} cannot hold") from None


def _packed(elements: list[Any], datatype: Datatype) -> Tensor | None:
    """Pack numbers that the datatype holds as they are; None where one must look closer.

    Threat: `struct` takes a truth value for 0 or 1, so there must be none.
    """
    letter = _FORMATS.get(datatype.name)
    if letter is None:
        return None
    try:
        content = struct.pack(f"<{len(elements)}{letter}", *elements)
    except (struct.error, OverflowError):
        return None
    return np.frombuffer(content, datatype.dtype.newbyteorder("<")).astype(
        datatype.dtype, copy=False
    )


def _array(elements: list[Any], datatype: Datatype) -> Tensor:
    if datatype.name != BYTES:
        return array_of(elements, datatype.dtype)
    tensor = np.empty(len(elements), object)
    tensor[:] = elements
    return tensor


def _flattened(data: object, shape: Sequence[int], *, name: str) -> list[Any]:
    """Flatten lists that are nested exactly as the shape says; a flat list is taken as it is."""
    level: list[Any] = data if isinstance(data, list) else [data]
    if not level or not isinstance(level[0], list):
        return level
    if not shape or len(level) != shape[0]:
        raise _nested_otherwise(name)
    for size in shape[1:]:
        if set(map(type, level)) != {list} or set(map(len, level)) != {size}:
            raise _nested_otherwise(name)
        level = list(chain.from_iterable(level))
    return level


def _nested_otherwise(name: str) -> InputInvalid:
    return InputInvalid(f"input {name} has data nested otherwise than its shape")
