"""The gRPC codec: messages of the Open Inference Protocol to tensors and back.

Answers carry `raw_output_contents` for every output, in order, since clients index by position.

Source: Open Inference Protocol 2, "GRPC".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from gateway.dataplane.codec import Encoded
from gateway.dataplane.grpc_message import InferMessage
from gateway.dataplane.grpc_parameters import read_classes, read_timeout, refuse_unserved
from gateway.dataplane.oip_answer import check_classes, wanted_outputs, wanted_tensor
from gateway.dataplane.oip_request import InferRequest, WantedOutput
from gateway.errors import RequestInvalid
from inference.errors import InputInvalid
from inference.protocol.open_inference_pb2 import ModelInferRequest, ModelInferResponse
from inference.registry import ModelVersion
from inference.signature import TensorSpec
from inference.tensor_bytes import Buffer, tensor_from_bytes, tensor_to_bytes
from inference.tensor_rules import check_declaration
from inference.tensors import BYTES, DATATYPES_BY_DTYPE, Tensor, Tensors

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
    wanted: list[WantedOutput]


class GrpcCodec:
    """Decode `ModelInferRequest`, already read, and encode `ModelInferResponse` as bytes."""

    protocol = "grpc"

    def decode(self, body: InferMessage, model: ModelVersion) -> GrpcDecoded:
        """Read a request against a model's signature and contract, and take its tensors from it.

        Raises:
            RequestInvalid: a tensor stands twice, or a parameter asks for what is not served.
            InputInvalid: a tensor is not as the model takes it, or a wanted output is unknown.
            ContractViolated: values break the contract.
            TooManyRows: more rows than the queue can ever hold.
        """
        head = body.head
        refuse_unserved(head.parameters)
        wanted = _read_outputs(head, model)
        tensors = _read_inputs(head, body.take_raw(), model)
        rows = model.contract.check_tensors(tensors)
        check_classes(wanted, rows)
        return GrpcDecoded(tensors, rows, read_timeout(head.parameters), head.id, wanted)

    def encode(self, outputs: Tensors, decoded: GrpcDecoded, model: ModelVersion) -> Encoded:
        """Write the answer: the outputs that were wanted, in the order of the request."""
        answer = ModelInferResponse(
            model_name=model.name, model_version=model.version, id=decoded.id
        )
        for wanted in decoded.wanted:
            tensor = wanted_tensor(outputs[wanted.name], wanted, model)
            datatype = DATATYPES_BY_DTYPE[tensor.dtype].name
            answer.outputs.add(name=wanted.name, datatype=datatype, shape=tensor.shape)
            answer.raw_output_contents.append(tensor_to_bytes(tensor))
        payload: bytes = answer.SerializeToString()
        return Encoded(payload, len(payload), ())


def _read_inputs(body: ModelInferRequest, raw: Sequence[Buffer], model: ModelVersion) -> Tensors:
    """Read every input of the request, each for one that the graph has."""
    specs = {spec.name: spec for spec in model.signature.inputs}
    if raw and len(raw) != len(body.inputs):
        raise RequestInvalid("raw_input_contents must hold one entry for each input, or none")
    if len(body.inputs) > len(specs):
        raise RequestInvalid("inputs has more tensors than the model")
    tensors: Tensors = {}
    for position, given in enumerate(body.inputs):
        spec = specs.get(given.name)
        if spec is None:
            raise InputInvalid(f"the inputs of the model are {', '.join(specs)}")
        if spec.name in tensors:
            raise RequestInvalid("inputs has a tensor twice")
        refuse_unserved(given.parameters)
        check_declaration(spec, given.datatype, given.shape)
        if raw:
            _refuse_both(given)
            content = raw[position]
            tensors[spec.name] = tensor_from_bytes(content, spec.type, given.shape, name=spec.name)
        else:
            tensors[spec.name] = _typed_tensor(given, spec)
    return tensors


def _read_outputs(body: ModelInferRequest, model: ModelVersion) -> list[WantedOutput]:
    """List the outputs that are wanted; all of them where none is named.

    Threat: one output asked for a million times would be answered a million times.
    """
    if len({output.name for output in body.outputs}) < len(body.outputs):
        raise RequestInvalid("outputs has a tensor twice")
    named = []
    for output in body.outputs:
        refuse_unserved(output.parameters)
        named.append(WantedOutput(output.name, is_binary=True, classes=read_classes(output)))
    return wanted_outputs(InferRequest(outputs=named or None, is_binary=True), model)


def _refuse_both(tensor: ModelInferRequest.InferInputTensor) -> None:
    if tensor.HasField("contents"):
        raise InputInvalid("contents and raw_input_contents exclude each other")


def _typed_tensor(given: ModelInferRequest.InferInputTensor, spec: TensorSpec) -> Tensor:
    """Read the elements from the field of their datatype, and from no other."""
    field = _CONTENTS.get(spec.datatype)
    if field is None:
        raise InputInvalid(f"input {spec.name}: {spec.datatype} comes in raw_input_contents")
    filled = [descriptor.name for descriptor, _ in given.contents.ListFields()]
    if filled not in ([], [field]):
        raise InputInvalid(f"input {spec.name}: {spec.datatype} comes in {field}")
    values = getattr(given.contents, field)
    try:
        return _array(values, spec).reshape(given.shape)
    except ValueError:
        raise InputInvalid(
            f"input {spec.name} has another number of elements than its shape asks for"
        ) from None


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
