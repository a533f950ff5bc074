"""Make the tensors of an inference request, from its JSON and its binary part.

Source: Open Inference Protocol 2, "Tensor Data"; Triton, "Binary Tensor Data Extension".
"""

import math
import struct
from collections.abc import Sequence

import numpy as np

from gateway.dataplane.oip_request import GivenInput
from gateway.errors import RequestInvalid
from inference.errors import InputInvalid
from inference.registry import ModelVersion
from inference.signature import VARIABLE, TensorSpec
from inference.tensor_bytes import Buffer, tensor_from_bytes
from inference.tensor_json import tensor_from_json
from inference.tensor_rules import check_declaration
from inference.tensors import BYTES, Tensor, Tensors

_LENGTH = struct.Struct("<I")


def read_tensors(
    inputs: Sequence[GivenInput], json_part: bytes, binary: memoryview, *, model: ModelVersion
) -> Tensors:
    """Make every tensor that a request describes; a binary one is a view of its bytes.

    Raises:
        InputInvalid: an input is unknown, or its datatype, shape and data do not fit together.
        RequestInvalid: the sizes of the binary inputs are not the size of the binary part.
    """
    if sum(given.binary_bytes or 0 for given in inputs) != len(binary):
        raise RequestInvalid("the binary_data_size of all inputs is not the size of binary data")
    specs = {spec.name: spec for spec in model.signature.inputs}
    tensors: Tensors = {}
    end = 0
    for given in inputs:
        spec = specs.get(given.name)
        if spec is None:
            raise InputInvalid(f"the inputs of the model are {', '.join(specs)}")
        check_declaration(spec, given.datatype, given.shape)
        if given.binary_bytes is None:
            tensors[spec.name] = _from_json(given, spec, json_part)
        else:
            start, end = end, end + given.binary_bytes
            tensors[spec.name] = tensor_from_bytes(
                binary[start:end], spec.type, given.shape, name=spec.name
            )
    return tensors


def read_raw_tensor(body: Buffer, model: ModelVersion) -> Tensors:
    """Take a whole body for the only input of a model, whose variable size follows from it.

    A body for an input of BYTES is one element, without its length in front.

    Raises:
        InputInvalid: the model has several inputs or variable sizes, or no size fits the body.
    """
    if len(model.signature.inputs) != 1:
        raise InputInvalid("a body of bytes alone is for models with one input")
    [spec] = model.signature.inputs
    content = body
    if spec.datatype == BYTES:
        content = _LENGTH.pack(len(body)) + bytes(body)
    shape = _shape_of(spec, len(body))
    return {spec.name: tensor_from_bytes(content, spec.type, shape, name=spec.name)}


def _from_json(given: GivenInput, spec: TensorSpec, json_part: bytes) -> Tensor:
    tensor = tensor_from_json(
        given.data, spec.type, given.shape, name=spec.name, is_numeric=given.is_numeric
    )
    if spec.type.is_float:
        _check_infinities(tensor, json_part, name=spec.name)
    return tensor


def _check_infinities(tensor: Tensor, json_part: bytes, *, name: str) -> None:
    """Tell an Infinity that was written from a number like 1e999, which the parser makes one."""
    found = np.count_nonzero(np.isinf(tensor))
    if found and found > json_part.count(b"Infinity"):
        raise InputInvalid(f"input {name} has a number that is too large")


def _shape_of(spec: TensorSpec, size: int) -> list[int]:
    """Find the variable size of an input from the bytes that it has."""
    variable = spec.shape.count(VARIABLE)
    if variable > 1:
        raise InputInvalid("a body of bytes alone is for inputs with one variable size")
    fixed = math.prod(length for length in spec.shape if length != VARIABLE)
    elements = 1 if spec.datatype == BYTES else size // (spec.type.width_bytes or 1)
    length = elements // fixed if fixed else 0
    shape = [length if wanted == VARIABLE else wanted for wanted in spec.shape]
    check_declaration(spec, spec.datatype, shape)
    return shape
