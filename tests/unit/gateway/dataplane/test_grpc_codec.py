"""The gRPC codec: every datatype in both of its forms, and nothing that the model does not take."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytest

from gateway.dataplane.grpc_codec import GrpcCodec, GrpcDecoded
from gateway.dataplane.grpc_message import read_infer
from gateway.errors import RequestInvalid
from inference.errors import InferenceError, InputInvalid, TooManyRows
from inference.loading import ModelVersion
from inference.protocol.open_inference_pb2 import (
    InferParameter,
    InferTensorContents,
    ModelInferRequest,
    ModelInferResponse,
)
from inference.signature import TensorSpec
from inference.tensor_bytes import tensor_to_bytes
from inference.tensors import Tensor
from tests.unit.inference.contracts import graph_contract

CODEC = GrpcCodec()
Input = ModelInferRequest.InferInputTensor
SAMPLES: dict[str, tuple[str | None, list[Any], str]] = {
    "BOOL": ("bool_contents", [True, False], "bool"),
    "INT8": ("int_contents", [-128, 127], "int8"),
    "INT16": ("int_contents", [-32768, 32767], "int16"),
    "INT32": ("int_contents", [-(2**31), 2**31 - 1], "int32"),
    "INT64": ("int64_contents", [-(2**63), 2**63 - 1], "int64"),
    "UINT8": ("uint_contents", [0, 255], "uint8"),
    "UINT16": ("uint_contents", [0, 65535], "uint16"),
    "UINT32": ("uint_contents", [0, 2**32 - 1], "uint32"),
    "UINT64": ("uint64_contents", [0, 2**64 - 1], "uint64"),
    "FP16": (None, [0.5, -2.0], "float16"),
    "FP32": ("fp32_contents", [0.5, float("inf")], "float32"),
    "FP64": ("fp64_contents", [0.1, -1e300], "float64"),
    "BYTES": ("bytes_contents", ["é", ""], "object"),
}
"""The field of each datatype, and two elements at its ends."""


class FakeModel:
    """A model of which only the signature and the contract are looked at."""

    name, version = "m", "7"

    def __init__(self, *inputs: TensorSpec) -> None:
        self.contract = graph_contract(*inputs)
        outputs = tuple(TensorSpec(f"{spec.name}_out", spec.datatype, (-1,)) for spec in inputs)
        self.signature = type("Signature", (), {})()
        self.signature.inputs, self.signature.outputs = inputs, outputs
        self.signature.input_names = tuple(spec.name for spec in inputs)


def model_of(*datatypes: str, shape: tuple[int, ...] = (-1,)) -> ModelVersion:
    """Make a model with one input of each datatype: x0, x1, and so on."""
    specs = [TensorSpec(f"x{n}", datatype, shape) for n, datatype in enumerate(datatypes)]
    return cast("ModelVersion", FakeModel(*specs))


def sample(datatype: str) -> Tensor:
    """Build the array of a datatype's two elements."""
    _, values, dtype = SAMPLES[datatype]
    array = np.empty(2, dtype)
    array[:] = values
    return array


def typed(name: str, datatype: str, values: Sequence[Any], *, field: str = "") -> Input:
    """Write elements into the field of their datatype, or another."""
    field = field or SAMPLES[datatype][0] or ""
    written: Any = {field: [v.encode() if isinstance(v, str) else v for v in values]}
    contents = InferTensorContents(**written)
    return Input(name=name, datatype=datatype, shape=[len(values)], contents=contents)


def raw_request(
    datatype: str, shape: Sequence[int], content: bytes, *, name: str = "x0"
) -> ModelInferRequest:
    """Write one input as raw bytes."""
    return ModelInferRequest(
        inputs=[Input(name=name, datatype=datatype, shape=shape)], raw_input_contents=[content]
    )


def decode(request: ModelInferRequest, model: ModelVersion) -> GrpcDecoded:
    """Decode a request as it comes."""
    return CODEC.decode(read_infer(request.SerializeToString()), model)


@pytest.mark.parametrize("datatype", [name for name, (field, *_) in SAMPLES.items() if field])
def test_typed_contents_become_the_tensor(datatype: str) -> None:
    """Each datatype has its field, with the ends of its range."""
    request = ModelInferRequest(inputs=[typed("x0", datatype, SAMPLES[datatype][1])])
    decoded = decode(request, model_of(datatype))
    assert decoded.tensors["x0"].dtype == sample(datatype).dtype
    assert decoded.tensors["x0"].tolist() == sample(datatype).tolist()


@pytest.mark.parametrize("datatype", SAMPLES)
def test_raw_contents_come_back_as_they_were(datatype: str) -> None:
    """Bytes to a tensor and back, for every datatype."""
    content = tensor_to_bytes(sample(datatype))
    model = model_of(datatype)
    decoded = decode(raw_request(datatype, [2], content), model)
    encoded = CODEC.encode({"x0_out": decoded.tensors["x0"]}, decoded, model)
    answer = ModelInferResponse.FromString(encoded.body)
    assert (decoded.rows, list(answer.raw_output_contents)) == (2, [content])
    assert (answer.outputs[0].datatype, list(answer.outputs[0].shape)) == (datatype, [2])
    assert encoded.size == len(encoded.body)


@pytest.mark.parametrize(("rows", "classes"), [(1, 1001), (1, 2**63 - 1), (66, 1000)])
def test_more_classes_than_are_written_at_once_are_refused(rows: int, classes: int) -> None:
    """As over HTTP."""
    request = raw_request("FP32", [rows], bytes(4 * rows))
    wanted = request.outputs.add(name="x0_out")
    wanted.parameters["classification"].int64_param = classes
    with pytest.raises(RequestInvalid, match="classes"):
        decode(request, model_of("FP32"))


def test_raw_contents_are_matched_by_position() -> None:
    """Inputs in another order than the graph's keep their bytes."""
    request = ModelInferRequest(
        inputs=[
            Input(name="x1", datatype="INT8", shape=[1]),
            Input(name="x0", datatype="FP32", shape=[1]),
        ],
        raw_input_contents=[b"\x05", np.float32(0.5).tobytes()],
    )
    tensors = decode(request, model_of("FP32", "INT8")).tensors
    assert (tensors["x0"].tolist(), tensors["x1"].tolist()) == ([0.5], [5])


def test_answer_names_model_version_and_id() -> None:
    """What the caller sent as `id` comes back."""
    request = raw_request("INT8", [1], b"\x01")
    request.id = "mine"
    model = model_of("INT8")
    decoded = decode(request, model)
    answer = ModelInferResponse.FromString(
        CODEC.encode({"x0_out": decoded.tensors["x0"]}, decoded, model).body
    )
    assert (answer.model_name, answer.model_version, answer.id) == ("m", "7", "mine")


def test_outputs_come_in_the_order_asked() -> None:
    """Clients index by position."""
    model = model_of("INT8", "FP32")
    request = ModelInferRequest(
        inputs=[typed("x0", "INT8", [1]), typed("x1", "FP32", [2.0])],
        outputs=[
            ModelInferRequest.InferRequestedOutputTensor(name=name) for name in ("x1_out", "x0_out")
        ],
    )
    decoded = decode(request, model)
    outputs = {f"{name}_out": tensor for name, tensor in decoded.tensors.items()}
    answer = ModelInferResponse.FromString(CODEC.encode(outputs, decoded, model).body)
    assert [output.name for output in answer.outputs] == ["x1_out", "x0_out"]
    assert list(answer.raw_output_contents) == [np.float32(2).tobytes(), b"\x01"]


@pytest.mark.parametrize("field", ["int64_param", "uint64_param"])
def test_timeout_is_read_in_microseconds(field: str) -> None:
    """The parameter of Triton's schedule policy."""
    request = raw_request("INT8", [1], b"\x01")
    setattr(request.parameters["timeout"], field, 1500)
    assert decode(request, model_of("INT8")).timeout_seconds == 0.0015


def test_no_timeout_is_no_deadline() -> None:
    """Neither where there is none, nor where it is 0."""
    request = raw_request("INT8", [1], b"\x01")
    assert decode(request, model_of("INT8")).timeout_seconds is None
    request.parameters["timeout"].int64_param = 0
    assert decode(request, model_of("INT8")).timeout_seconds is None


@pytest.mark.parametrize(
    "parameter", [{"string_param": "5"}, {"int64_param": -1}, {"double_param": 1.0}]
)
def test_timeout_that_is_none_is_refused(parameter: dict[str, Any]) -> None:
    """A wrong type or a time before now."""
    request = raw_request("INT8", [1], b"\x01")
    request.parameters["timeout"].CopyFrom(InferParameter(**parameter))
    with pytest.raises(RequestInvalid):
        decode(request, model_of("INT8"))


REFUSED: dict[str, ModelInferRequest] = {
    "no input": ModelInferRequest(),
    "another input": raw_request("INT8", [1], b"\x01", name="y"),
    "an input twice": ModelInferRequest(
        inputs=[typed("x0", "INT8", [1]), typed("x0", "INT8", [1])]
    ),
    "one input too many": ModelInferRequest(
        inputs=[typed("x0", "INT8", [1]), typed("x1", "INT8", [1])]
    ),
    "another datatype": raw_request("UINT8", [1], b"\x01"),
    "another rank": raw_request("INT8", [1, 1], b"\x01"),
    "a negative size": raw_request("INT8", [-1], b"\x01"),
    "an overflowing shape": raw_request("INT8", [2**62], b"\x01"),
    "too few bytes": raw_request("INT8", [2], b"\x01"),
    "too many bytes": raw_request("INT8", [1], b"\x01\x02"),
    "no row": raw_request("INT8", [0], b""),
    "fewer raw contents than inputs": ModelInferRequest(
        inputs=[Input(name="x0", datatype="INT8", shape=[1])], raw_input_contents=[b"\x01"] * 2
    ),
    "both forms": ModelInferRequest(
        inputs=[typed("x0", "INT8", [1])], raw_input_contents=[b"\x01"]
    ),
    "the field of another datatype": ModelInferRequest(
        inputs=[typed("x0", "INT8", [1], field="fp32_contents")]
    ),
    "a number beyond its datatype": ModelInferRequest(inputs=[typed("x0", "INT8", [128])]),
    "another count than the shape's": ModelInferRequest(
        inputs=[
            Input(
                name="x0",
                datatype="INT8",
                shape=[3],
                contents=InferTensorContents(int_contents=[1]),
            )
        ]
    ),
    "an unknown output": ModelInferRequest(
        inputs=[typed("x0", "INT8", [1])],
        outputs=[ModelInferRequest.InferRequestedOutputTensor(name="z")],
    ),
    "an output twice": ModelInferRequest(
        inputs=[typed("x0", "INT8", [1])],
        outputs=[ModelInferRequest.InferRequestedOutputTensor(name="x0_out")] * 2,
    ),
    "shared memory": ModelInferRequest(
        inputs=[
            Input(
                name="x0",
                datatype="INT8",
                shape=[1],
                parameters={"shared_memory_region": InferParameter(string_param="r")},
            )
        ]
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_the_model_does_not_take_is_refused(what: str) -> None:
    """Each with a sentence, before anything is allocated for it."""
    with pytest.raises((RequestInvalid, InputInvalid)):
        decode(REFUSED[what], model_of("INT8"))


def test_half_precision_has_no_typed_contents() -> None:
    """The protocol has no field for it."""
    request = ModelInferRequest(inputs=[typed("x0", "FP16", [1.0], field="fp32_contents")])
    with pytest.raises(InputInvalid, match="raw_input_contents"):
        decode(request, model_of("FP16"))


def test_bytes_that_are_no_text_are_refused() -> None:
    """Text goes into the graph, so it must be UTF-8."""
    contents = InferTensorContents(bytes_contents=[b"\xff"])
    tensor = Input(name="x0", datatype="BYTES", shape=[1], contents=contents)
    with pytest.raises(InferenceError, match="UTF-8"):
        decode(ModelInferRequest(inputs=[tensor]), model_of("BYTES"))


def test_more_rows_than_the_queue_holds_are_refused() -> None:
    """As in any other protocol."""
    request = raw_request("INT8", [4097], b"\0" * 4097)
    with pytest.raises(TooManyRows):
        decode(request, model_of("INT8"))
