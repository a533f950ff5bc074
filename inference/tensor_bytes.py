"""Read tensors from their raw bytes without copying them, and write them back.

Source: Open Inference Protocol 2, "Binary tensor data" and `raw_input_contents`: row-major, little
endian, no padding; BOOL takes one byte; an element of BYTES is its length as uint32, then itself.
"""

import math
import struct
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from inference.errors import InputInvalid
from inference.tensors import BYTES, Datatype, Tensor

Buffer: TypeAlias = bytes | bytearray | memoryview

_LENGTH = struct.Struct("<I")
_BOOL = np.dtype(np.bool_)


def tensor_from_bytes(
    content: Buffer, datatype: Datatype, shape: Sequence[int], *, name: str
) -> Tensor:
    """Make the tensor of the input `name` out of its bytes.

    The tensor is a view of `content`, which must not change while it lives; only text, and bytes
    that lie askew in memory, are copied. Nothing is allocated before size and shape agree.
    Shape: as given, no size negative. Source: Open Inference Protocol 2, "Binary tensor data".

    Raises:
        InputInvalid: shape and bytes do not fit together, a BOOL is neither 0 nor 1, or BYTES are
            cut off or no UTF-8.
    """
    if any(size < 0 for size in shape):
        raise InputInvalid(f"input {name} has a negative size in its shape")
    count = math.prod(shape)
    if datatype.width_bytes is None:
        return _text_tensor(content, count, name=name).reshape(shape)
    if len(content) != count * datatype.width_bytes:
        raise InputInvalid(f"input {name} has another number of bytes than its shape asks for")
    dtype = datatype.dtype
    if dtype == _BOOL:
        return _bool_tensor(content, name=name).reshape(shape)
    tensor = np.frombuffer(content, _little_endian(dtype)).astype(dtype, copy=False)
    # Threat: compiled code may read numbers in blocks that only start at whole elements, and a
    # caller chooses by the length of its header where they start.
    return (tensor if tensor.flags.aligned else tensor.copy()).reshape(shape)


def tensor_to_bytes(tensor: Tensor) -> bytes:
    """Write the elements of a tensor, row-major, of any datatype."""
    if tensor.dtype.kind == "O":
        return b"".join(_framed(element) for element in tensor.ravel().tolist())
    return tensor.astype(_little_endian(tensor.dtype), copy=False).tobytes()


def datatype_width(datatype: Datatype) -> int:
    """Count the fewest bytes that one element takes."""
    return _LENGTH.size if datatype.name == BYTES else datatype.width_bytes or 0


def _little_endian(dtype: np.dtype[np.generic]) -> np.dtype[np.generic]:
    return dtype if dtype.kind == "V" else dtype.newbyteorder("<")


def _bool_tensor(content: Buffer, *, name: str) -> Tensor:
    """View bytes as truth values. Threat: compiled code errs on what is neither 0 nor 1."""
    numbers = np.frombuffer(content, np.uint8)
    if numbers.size and numbers.max() > 1:
        raise InputInvalid(f"input {name} has a BOOL that is neither 0 nor 1")
    return numbers.view(_BOOL)


def _text_tensor(content: Buffer, count: int, *, name: str) -> Tensor:
    """Read `count` elements of BYTES as text. Shape: [count], dtype object."""
    if count * _LENGTH.size > len(content):
        raise InputInvalid(f"input {name} has fewer BYTES than its shape asks for")
    view, end = memoryview(content), 0
    tensor = np.empty(count, object)
    try:
        for index in range(count):
            (length,) = _LENGTH.unpack_from(view, end)
            start = end + _LENGTH.size
            end = start + length
            tensor[index] = str(view[start:end], "utf-8")
    except struct.error:
        raise InputInvalid(f"the BYTES of input {name} are cut off") from None
    except UnicodeDecodeError:
        raise InputInvalid(f"the BYTES of input {name} are not UTF-8") from None
    if end != len(view):
        raise InputInvalid(f"input {name} has another number of bytes than its BYTES")
    return tensor


def _framed(element: str | bytes) -> bytes:
    content = element.encode() if isinstance(element, str) else element
    return _LENGTH.pack(len(content)) + content
