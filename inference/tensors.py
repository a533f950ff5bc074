"""Name the datatypes of tensors as the protocol, NumPy and ONNX call them.

A tensor inside the process is a NumPy array; an element of datatype BYTES is a `str`, since ONNX
Runtime would turn `bytes` into the text "b'...'".

Source: Open Inference Protocol 2, "Tensor Data Types". NumPy has no BF16; ml_dtypes, which ONNX
brings along, adds it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Tensor: TypeAlias = NDArray[Any]
Tensors: TypeAlias = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Datatype:
    """One element type under its three names."""

    name: str
    """Open Inference Protocol, e.g. FP32."""

    dtype: np.dtype[Any]
    onnx_type: str
    """ONNX Runtime, e.g. tensor(float)."""

    width_bytes: int | None
    """Bytes of one element; None where elements differ in length."""

    @property
    def is_float(self) -> bool:
        """Say whether elements are floating-point numbers."""
        return self.dtype.kind == "f" or self.name == BF16

    @property
    def is_integer(self) -> bool:
        """Say whether elements are whole numbers."""
        return self.dtype.kind in "iu"


BF16 = "BF16"
BYTES = "BYTES"

_NAMES = (
    ("BOOL", "bool", "tensor(bool)"),
    ("UINT8", "uint8", "tensor(uint8)"),
    ("UINT16", "uint16", "tensor(uint16)"),
    ("UINT32", "uint32", "tensor(uint32)"),
    ("UINT64", "uint64", "tensor(uint64)"),
    ("INT8", "int8", "tensor(int8)"),
    ("INT16", "int16", "tensor(int16)"),
    ("INT32", "int32", "tensor(int32)"),
    ("INT64", "int64", "tensor(int64)"),
    ("FP16", "float16", "tensor(float16)"),
    ("FP32", "float32", "tensor(float)"),
    ("FP64", "float64", "tensor(double)"),
    (BF16, ml_dtypes.bfloat16, "tensor(bfloat16)"),
    (BYTES, "object", "tensor(string)"),
)

DATATYPES: Mapping[str, Datatype] = MappingProxyType(
    {
        name: Datatype(
            name, np.dtype(dtype), onnx, None if name == BYTES else np.dtype(dtype).itemsize
        )
        for name, dtype, onnx in _NAMES
    }
)
"""Every datatype by its protocol name."""

DATATYPES_BY_ONNX_TYPE: Mapping[str, Datatype] = MappingProxyType(
    {datatype.onnx_type: datatype for datatype in DATATYPES.values()}
)

DATATYPES_BY_DTYPE: Mapping[np.dtype[Any], Datatype] = MappingProxyType(
    {datatype.dtype: datatype for datatype in DATATYPES.values()}
)
