"""BF16, which ONNX Runtime's Python API does not know, goes in and comes out bit by bit."""

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from inference.contract_compiler import compile_contract
from inference.errors import ContractViolated, ModelRefused
from inference.manifest import Manifest
from inference.onnx_runtime import OnnxRuntime
from inference.tensors import DATATYPES, Tensor
from tests.unit.inference.onnx_models import model_of, tensor

BRAIN = TensorProto.BFLOAT16
ROWS = np.array([1.0, -2.5, np.inf, np.nan]).astype(DATATYPES["BF16"].dtype)


def model_bytes(nodes: list[Any], inputs: list[Any], outputs: list[Any]) -> bytes:
    """Serialise a graph."""
    return bytes(model_of(nodes, inputs, outputs).SerializeToString())


def identity(name: str, datatype: int) -> tuple[Any, Any, Any]:
    """Make a node that hands one tensor through, with its input and output. Shape: [rows]."""
    node = helper.make_node("Identity", [name], [f"{name}_out"])
    return node, tensor(name, ["rows"], datatype), tensor(f"{name}_out", ["rows"], datatype)


def bits(array: Tensor) -> list[int]:
    """Read the bits of each element."""
    return list(array.view(np.uint16).tolist())


def test_identity_keeps_every_bit() -> None:
    """Not a number and infinity among them."""
    node, given, taken = identity("x", BRAIN)
    runtime = OnnxRuntime("m", model_bytes([node], [given], [taken]))
    assert runtime.signature.inputs[0].datatype == "BF16"
    assert bits(runtime.run({"x": ROWS})["x_out"]) == bits(ROWS)


def test_other_datatypes_go_beside_it() -> None:
    """Numbers of every kind share a graph with it."""
    parts = [
        identity("x", BRAIN),
        identity("n", TensorProto.INT64),
        identity("b", TensorProto.BOOL),
    ]
    nodes, inputs, outputs = (list(column) for column in zip(*parts, strict=True))
    runtime = OnnxRuntime("m", model_bytes(nodes, inputs, outputs))
    given = {"x": ROWS, "n": np.arange(4), "b": np.array([True, False, True, True])}
    found = runtime.run(given)
    assert bits(found["x_out"]) == bits(ROWS)
    assert found["n_out"].tolist() == [0, 1, 2, 3]
    assert found["b_out"].tolist() == [True, False, True, True]


def test_text_goes_in_beside_it_where_none_of_it_comes_out() -> None:
    """The engine's other way takes text."""
    cast = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)
    node, given, taken = identity("text", TensorProto.STRING)
    content = model_bytes(
        [cast, node], [tensor("x", ["rows"], BRAIN), given], [tensor("y", ["rows"]), taken]
    )
    found = OnnxRuntime("m", content).run({"x": ROWS[:2], "text": np.array(["a", "b"], object)})
    assert (found["y"].tolist(), found["text_out"].tolist()) == ([1.0, -2.5], ["a", "b"])


def test_text_in_and_bfloat16_out_are_refused_at_load() -> None:
    """Rather than at each request."""
    parts = [identity("x", BRAIN), identity("text", TensorProto.STRING)]
    nodes, inputs, outputs = (list(column) for column in zip(*parts, strict=True))
    with pytest.raises(ModelRefused, match="text in and BF16 out"):
        OnnxRuntime("m", model_bytes(nodes, inputs, outputs))


def test_json_numbers_become_bfloat16_unless_they_are_too_large() -> None:
    """A finite number never turns into infinity in silence."""
    node, given, taken = identity("x", BRAIN)
    runtime = OnnxRuntime("m", model_bytes([node], [given], [taken]))
    contract = compile_contract(runtime.signature, Manifest())
    assert contract.rows_to_tensors([1.5, 3e38])["x"].dtype == DATATYPES["BF16"].dtype
    with pytest.raises(ContractViolated, match="row 1: x must be one of the numbers"):
        contract.rows_to_tensors([1.5, 3.4e38])
