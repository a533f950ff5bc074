"""The gRPC codec: messages of the Open Inference Protocol to tensors and back.

Answers carry `raw_output_contents` for every output, in order, since clients index by position.

Source: Open Inference Protocol 2, "GRPC".
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from gateway.dataplane.grpc_parameters import check_parameters, read_timeout
from gateway.dataplane.prediction import Encoded, Tensors
from gateway.errors import RequestInvalid
from inference.errors import InputInvalid, TooManyRows
from inference.protocol.open_inference_pb2 import ModelInferRequest, ModelInferResponse
from inference.registry import ModelVersion
from inference.signature import VARIABLE, TensorSpec
from inference.tensor_bytes import tensor_from_bytes, tensor_to_bytes
from inference.tensors import BYTES, Tensor

_CONTENTS: Final[Mapping[str, str]] = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}
"""The field with the elements of each datatype; FP16 and BF16 have none, and come raw."""


@dataclass(frozen=True, slots=True)
class GrpcDecoded:
    """A validated request: its tensors, and what its answer must hold."""

    tensors: Tensors
    rows: int
    timeout_seconds: float | None
    id: str
    outputs: tuple[TensorSpec, ...]


class GrpcCodec:
    """Decode `ModelInferRequest`, already parsed, and encode `ModelInferResponse` as bytes."""

    protocol = "grpc"

    def decode(self, body: ModelInferRequest, model: ModelVersion) -> GrpcDecoded:
        """Read a request against a model's signature and contract.

        Raises:
            RequestInvalid: a parameter is not what the protocol says, or an output is none.
            InputInvalid: the tensors do not have the model's structure.
            ContractViolated: values break the contract.
            TooManyRows: more rows than the queue can ever hold.
        """
        tensors = _read_inputs(body, model)
        rows = model.contract.row_count(tensors)
        if rows == 0:
            raise RequestInvalid("there is no row to predict")
        if rows > model.contract.max_rows:
            raise TooManyRows(model.contract.max_rows)
        return GrpcDecoded(
            tensors, rows, read_timeout(body.parameters), body.id, _requested(body, model)
        )

    def encode(self, outputs: Tensors, decoded: GrpcDecoded, model: ModelVersion) -> Encoded:
        """Write the answer: the outputs that were asked for, in the order asked."""
        answer = ModelInferResponse(
            model_name=model.name,
            model_version=model.version,
            id=decoded.id,
            outputs=[
                ModelInferResponse.InferOutputTensor(
                    name=spec.name, datatype=spec.datatype, shape=outputs[spec.name].shape
                )
                for spec in decoded.outputs
            ],
            raw_output_contents=[tensor_to_bytes(outputs[spec.name]) for spec in decoded.outputs],
        )
        payload: bytes = answer.SerializeToString()
        return Encoded(payload, len(payload), ())


def _read_inputs(body: ModelInferRequest, model: ModelVersion) -> Tensors:
    """Read every input that the graph has, and no other, once."""
    given = {tensor.name: position for position, tensor in enumerate(body.inputs)}
    if len(given) < len(body.inputs):
        raise InputInvalid("an input stands in the request twice")
    raw = body.raw_input_contents
    if raw and len(raw) != len(body.inputs):
        raise InputInvalid("raw_input_contents must hold one entry for each input, or none")
    specs = model.signature.inputs
    if len(given) > len(specs) or not given.keys() <= set(model.signature.input_names):
        raise InputInvalid("the request has an input that the model does not take")
    tensors: Tensors = {}
    for spec in specs:
        if spec.name not in given:
            raise InputInvalid(f"input {spec.name} is missing")
        position = given[spec.name]
        tensor = body.inputs[position]
        check_parameters(tensor.parameters)
        shape = _shape_of(tensor, spec)
        if raw:
            _refuse_both(tensor)
            tensors[spec.name] = tensor_from_bytes(raw[position], spec.type, shape, name=spec.name)
        else:
            tensors[spec.name] = _typed_tensor(tensor, spec, shape)
    return tensors


def _shape_of(tensor: ModelInferRequest.InferInputTensor, spec: TensorSpec) -> tuple[int, ...]:
    """Check datatype and shape before anything is allocated for them."""
    if tensor.datatype != spec.datatype:
        raise InputInvalid(f"input {spec.name} has the datatype {spec.datatype}")
    shape = tuple(tensor.shape)
    sizes = zip(shape, spec.shape, strict=False)
    is_fit = len(shape) == len(spec.shape) and all(
        size >= 0 and wanted in (VARIABLE, size) for size, wanted in sizes
    )
    if not is_fit:
        raise InputInvalid(f"input {spec.name} has the shape {list(spec.shape)}")
    return shape


def _refuse_both(tensor: ModelInferRequest.InferInputTensor) -> None:
    if tensor.HasField("contents"):
        raise InputInvalid("contents and raw_input_contents exclude each other")


def _typed_tensor(
    tensor: ModelInferRequest.InferInputTensor, spec: TensorSpec, shape: tuple[int, ...]
) -> Tensor:
    """Read the elements from the field of their datatype, and from no other."""
    field = _CONTENTS.get(spec.datatype)
    if field is None:
        raise InputInvalid(f"input {spec.name}: {spec.datatype} comes in raw_input_contents")
    filled = [descriptor.name for descriptor, _ in tensor.contents.ListFields()]
    if filled not in ([], [field]):
        raise InputInvalid(f"input {spec.name}: {spec.datatype} comes in {field}")
    values = getattr(tensor.contents, field)
    if len(values) != math.prod(shape):
        raise InputInvalid(f"input {spec.name} has another number of elements than its shape")
    return _array(values, spec).reshape(shape)


def _array(values: Sequence[Any], spec: TensorSpec) -> Tensor:
    """Make an array; integers come in wider fields than their datatype."""
    if spec.datatype == BYTES:
        return _text_array(values, spec.name)
    dtype = spec.type.dtype
    if not spec.type.is_integer or dtype.itemsize >= np.dtype(np.int32).itemsize:
        return np.array(values, dtype)
    wide = np.array(values, np.int64)
    if wide.size and not np.iinfo(dtype).min <= wide.min() <= wide.max() <= np.iinfo(dtype).max:
        raise InputInvalid(f"input {spec.name} has an element that is no {spec.datatype}")
    return wide.astype(dtype)


def _text_array(values: Sequence[bytes], name: str) -> Tensor:
    array = np.empty(len(values), object)
    try:
        array[:] = [value.decode() for value in values]
    except UnicodeDecodeError:
        raise InputInvalid(f"the BYTES of input {name} are not UTF-8") from None
    return array


def _requested(body: ModelInferRequest, model: ModelVersion) -> tuple[TensorSpec, ...]:
    """List the outputs that were asked for; all of them where none was.

    Threat: one output asked for a million times would be answered a million times.
    """
    if not body.outputs:
        return model.signature.outputs
    specs = {spec.name: spec for spec in model.signature.outputs}
    names = [output.name for output in body.outputs]
    if len(set(names)) < len(names):
        raise RequestInvalid("an output is asked for twice")
    for output in body.outputs:
        check_parameters(output.parameters)
        if output.name not in specs:
            raise RequestInvalid("an output is asked for that the model does not have")
    return tuple(specs[name] for name in names)
