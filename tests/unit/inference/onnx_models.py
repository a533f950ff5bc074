"""Build small ONNX models whose answers NumPy can check."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

WEIGHTS = np.array([[1.0], [10.0], [100.0]], np.float32)


def model_of(
    nodes: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    *,
    initializers: Sequence[Any] = (),
    functions: Sequence[Any] = (),
) -> ModelProto:
    """Put a graph together under the operator sets that all tests use."""
    graph = helper.make_graph(nodes, "graph", inputs, outputs, list(initializers))
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)],
        functions=list(functions),
        ir_version=9,
    )


def tensor(name: str, shape: Sequence[int | str | None], datatype: int = TensorProto.FLOAT) -> Any:  # noqa: ANN401 - onnx has no types
    """Describe an input or output."""
    return helper.make_tensor_value_info(name, datatype, shape)


def linear_model(rows: int | str | None = "rows") -> bytes:
    """Answer x @ WEIGHTS. Shape: x [rows, 3], y [rows, 1]."""
    model = model_of(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [tensor("x", [rows, 3])],
        [tensor("y", [rows, 1])],
        initializers=[numpy_helper.from_array(WEIGHTS, "w")],
    )
    return bytes(model.SerializeToString())


def greeting_model() -> bytes:
    """Answer the text as it came. Shape: [rows]."""
    model = model_of(
        [helper.make_node("Identity", ["text"], ["echo"])],
        [tensor("text", [None], TensorProto.STRING)],
        [tensor("echo", [None], TensorProto.STRING)],
    )
    return bytes(model.SerializeToString())


def lookup_model(size: int = 4) -> bytes:
    """Answer the row of a table that the index names. Shape: index [rows], value [rows]."""
    table = numpy_helper.from_array(np.arange(size, dtype=np.float32), "table")
    model = model_of(
        [helper.make_node("Gather", ["table", "index"], ["value"])],
        [tensor("index", ["rows"], TensorProto.INT64)],
        [tensor("value", ["rows"])],
        initializers=[table],
    )
    return bytes(model.SerializeToString())


def row_mixing_model() -> bytes:
    """Answer a softmax over the rows, so that each row's answer depends on its neighbours."""
    model = model_of(
        [helper.make_node("Softmax", ["x"], ["y"], axis=0)],
        [tensor("x", ["rows", 3])],
        [tensor("y", ["rows", 3])],
    )
    return bytes(model.SerializeToString())


def mixed_model() -> bytes:
    """Answer the sum of two numbers, plus 1000 for a "yes". Shape: price [rows]."""
    model = model_of(
        [
            helper.make_node(
                "LabelEncoder",
                ["answer"],
                ["thousands"],
                domain="ai.onnx.ml",
                keys_strings=["no", "yes"],
                values_floats=[0.0, 1000.0],
            ),
            helper.make_node("Concat", ["numbers", "thousands"], ["all"], axis=1),
            helper.make_node("ReduceSum", ["all", "axes"], ["price"], keepdims=0),
        ],
        [tensor("numbers", [None, 2]), tensor("answer", [None, 1], TensorProto.STRING)],
        [tensor("price", [None])],
        initializers=[numpy_helper.from_array(np.array([1]), "axes")],
    )
    return bytes(model.SerializeToString())
