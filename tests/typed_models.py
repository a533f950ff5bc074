"""A repository with an identity model for each datatype, and one with scores."""

from pathlib import Path

from onnx import TensorProto, helper

from tests.repositories import write_model
from tests.unit.inference.onnx_models import model_of, tensor

ONNX_TYPES = {
    "bool": TensorProto.BOOL,
    "int8": TensorProto.INT8,
    "int16": TensorProto.INT16,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "uint8": TensorProto.UINT8,
    "uint16": TensorProto.UINT16,
    "uint32": TensorProto.UINT32,
    "uint64": TensorProto.UINT64,
    "fp16": TensorProto.FLOAT16,
    "fp32": TensorProto.FLOAT,
    "fp64": TensorProto.DOUBLE,
    "bf16": TensorProto.BFLOAT16,
    "bytes": TensorProto.STRING,
}
"""By the name of the model."""


def write_typed_models(repository: Path) -> None:
    """Write a model `fp32` and so on, where x [rows] comes back as y, and those of FP32."""
    for name, datatype in ONNX_TYPES.items():
        write_model(repository, name, _identity(datatype, ["rows"]))
    write_float_models(repository)


def write_float_models(repository: Path) -> None:
    """Write `scores`, x [rows, 3], and `wide`, x [rows, any]; x comes back as y."""
    write_model(repository, "scores", _identity(TensorProto.FLOAT, ["rows", 3]))
    write_model(repository, "wide", _identity(TensorProto.FLOAT, ["rows", "columns"]))


def _identity(datatype: int, shape: list[int | str]) -> bytes:
    model = model_of(
        [helper.make_node("Identity", ["x"], ["y"])],
        [tensor("x", shape, datatype)],
        [tensor("y", shape, datatype)],
    )
    return bytes(model.SerializeToString())
