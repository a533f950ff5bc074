"""Carry tensors of BF16 in and out of ONNX Runtime, whose Python API has no arrays of them."""

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from inference.onnx_engine import ort
from inference.signature import Signature, TensorSpec
from inference.tensors import BF16, BYTES, DATATYPES, Tensor, Tensors

_ONNX_BFLOAT16 = 16
_DTYPE = DATATYPES[BF16].dtype


def has_bfloat16(specs: Sequence[TensorSpec]) -> bool:
    """Say whether any of these is BF16."""
    return any(spec.datatype == BF16 for spec in specs)


def check_bfloat16(signature: Signature) -> None:
    """Pass if the engine's API can carry tensors like these.

    Raises:
        ValueError: outputs of BF16 leave only a way by which no text goes in.
    """
    has_text = any(spec.datatype == BYTES for spec in signature.inputs)
    if has_text and has_bfloat16(signature.outputs):
        raise ValueError("text in and BF16 out of one graph are not served together")


def wrapped(tensors: Tensors) -> dict[str, Any]:
    """Put arrays of BF16 in values of the engine, which view them and must not outlive them."""
    return {
        name: _wrapped(tensor) if tensor.dtype == _DTYPE else tensor
        for name, tensor in tensors.items()
    }


def run_with_values(session: Any, output_names: list[str], tensors: Tensors) -> list[Tensor]:  # noqa: ANN401 - the engine has no types
    """Run a session whose outputs hold BF16; raises as the session's `run`."""
    values = {
        name: _wrapped(tensor)
        if tensor.dtype == _DTYPE
        else ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(tensor))
        for name, tensor in tensors.items()
    }
    return [_array_of(value) for value in session.run_with_ort_values(output_names, values)]


def _wrapped(tensor: Tensor) -> Any:  # noqa: ANN401 - the engine has no types
    contiguous = np.ascontiguousarray(tensor).reshape(tensor.shape)
    return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(contiguous, _ONNX_BFLOAT16)


def _array_of(value: Any) -> Tensor:  # noqa: ANN401 - the engine has no types
    """Copy a value out of the engine, BF16 by its address."""
    if value.element_type() != _ONNX_BFLOAT16:
        array: Tensor = value.numpy()
        return array
    size = value.tensor_size_in_bytes()
    content = ctypes.string_at(value.data_ptr(), size) if size else b""
    return np.frombuffer(content, _DTYPE).reshape(value.shape())
