"""Models are untrusted: external data and unknown operators are refused wherever they hide."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, SparseTensorProto, TensorProto, helper, numpy_helper

from inference.errors import ModelRefused
from inference.verification import verify_model
from tests.unit.inference.onnx_models import linear_model, mixed_model, model_of, tensor


def external_tensor(name: str = "stolen") -> Any:  # noqa: ANN401 - onnx has no types
    """Describe a tensor whose data would be read from a file of the server."""
    external = numpy_helper.from_array(np.zeros(3, np.float32), name)
    external.ClearField("raw_data")
    external.data_location = TensorProto.EXTERNAL
    external.external_data.add(key="location", value="../../etc/passwd")
    return external


def identity() -> ModelProto:
    """Build a model that is fine, to hide something in."""
    return model_of(
        [helper.make_node("Identity", ["x"], ["y"])], [tensor("x", [3])], [tensor("y", [3])]
    )


def constant_node() -> Any:  # noqa: ANN401 - onnx has no types
    """Build a constant whose value is external."""
    return helper.make_node("Constant", [], ["stolen"], value=external_tensor())


def in_initializer() -> ModelProto:
    """Hide it among the weights."""
    model = identity()
    model.graph.initializer.append(external_tensor())
    return model


def in_attribute() -> ModelProto:
    """Hide it in a node's attribute."""
    model = identity()
    model.graph.node.append(constant_node())
    return model


def in_attribute_list() -> ModelProto:
    """Hide it in an attribute that is a list of tensors."""
    model = identity()
    attribute = model.graph.node[0].attribute.add(name="list")
    attribute.tensors.append(external_tensor())
    return model


def in_sparse_initializer() -> ModelProto:
    """Hide it in the values of a sparse weight."""
    model = identity()
    sparse = SparseTensorProto(values=external_tensor(), dims=[3])
    model.graph.sparse_initializer.append(sparse)
    return model


def in_sparse_indices() -> ModelProto:
    """Hide it in the indices of a sparse weight in an attribute."""
    model = identity()
    attribute = model.graph.node[0].attribute.add(name="sparse")
    attribute.sparse_tensor.CopyFrom(SparseTensorProto(indices=external_tensor(), dims=[3]))
    return model


def in_subgraph() -> ModelProto:
    """Hide it in a branch of an If inside a branch of an If."""
    inner = helper.make_graph([constant_node()], "inner", [], [tensor("stolen", [3])])
    nested = helper.make_node("If", ["c"], ["stolen"], then_branch=inner, else_branch=inner)
    outer = helper.make_graph([nested], "outer", [], [tensor("stolen", [3])])
    model = identity()
    model.graph.node.append(
        helper.make_node("If", ["c"], ["z"], then_branch=outer, else_branch=outer)
    )
    return model


def in_function() -> ModelProto:
    """Hide it in a function of the model's own."""
    model = identity()
    model.functions.append(
        helper.make_function("own", "F", [], ["stolen"], [constant_node()], model.opset_import)
    )
    return model


def in_training() -> ModelProto:
    """Hide it in the graph that says how to train the model further."""
    model = identity()
    model.training_info.add().algorithm.initializer.append(external_tensor())
    return model


def in_graph_list() -> ModelProto:
    """Hide it in an attribute that is a list of graphs."""
    model = identity()
    attribute = model.graph.node[0].attribute.add(name="graphs")
    attribute.graphs.add().initializer.append(external_tensor())
    return model


def in_default_of_a_function() -> ModelProto:
    """Hide it in the value that a function's attribute has unless it is given."""
    model = identity()
    function = helper.make_function("own", "F", [], [], [], list(model.opset_import))
    function.attribute_proto.add(name="value").t.CopyFrom(external_tensor())
    model.functions.append(function)
    return model


def unmarked() -> ModelProto:
    """Name a file without saying EXTERNAL."""
    model = in_initializer()
    model.graph.initializer[0].data_location = TensorProto.DEFAULT
    return model


@pytest.mark.parametrize(
    "hide",
    [
        in_initializer,
        in_attribute,
        in_attribute_list,
        in_sparse_initializer,
        in_sparse_indices,
        in_subgraph,
        in_function,
        in_training,
        in_graph_list,
        in_default_of_a_function,
        unmarked,
    ],
)
def test_external_data_is_refused_in_any_carrier(hide: Callable[[], ModelProto]) -> None:
    """A model never names a file of the server, wherever in it the name stands."""
    with pytest.raises(ModelRefused, match="external data"):
        verify_model("m", hide().SerializeToString())


@pytest.mark.parametrize(
    "location",
    [
        "weights.bin",
        "model.onnx",
        "/etc/passwd",
        "../../etc/passwd",
        "file:///etc/passwd",
        "*/_",
        "",
    ],
)
def test_external_data_is_refused_at_any_location(location: str) -> None:
    """Relative, absolute, upwards, in memory or empty: the location does not matter."""
    model = in_initializer()
    model.graph.initializer[0].external_data[0].value = location
    with pytest.raises(ModelRefused):
        verify_model("m", model.SerializeToString())


def test_unknown_operator_domain_is_refused() -> None:
    """An operator of a domain that this server does not have is code from elsewhere."""
    model = identity()
    model.graph.node[0].domain = "evil.ops"
    with pytest.raises(ModelRefused, match="evil"):
        verify_model("m", model.SerializeToString())


def test_unknown_operator_set_is_refused() -> None:
    """The same where the domain is only imported."""
    model = identity()
    model.opset_import.append(helper.make_opsetid("evil.ops", 1))
    with pytest.raises(ModelRefused, match="evil"):
        verify_model("m", model.SerializeToString())


def test_unknown_domain_in_a_subgraph_is_refused() -> None:
    """Operators are looked at on every level."""
    node = helper.make_node("Anything", [], ["z"], domain="evil.ops")
    branch = helper.make_graph([node], "branch", [], [tensor("z", [3])])
    model = identity()
    model.graph.node.append(
        helper.make_node("If", ["c"], ["z"], then_branch=branch, else_branch=branch)
    )
    with pytest.raises(ModelRefused, match="evil"):
        verify_model("m", model.SerializeToString())


def test_functions_of_the_model_itself_are_accepted() -> None:
    """A function that the file defines is no foreign code."""
    model = identity()
    body = [helper.make_node("Identity", ["a"], ["b"])]
    model.functions.append(
        helper.make_function("own", "F", ["a"], ["b"], body, list(model.opset_import))
    )
    model.opset_import.append(helper.make_opsetid("own", 1))
    model.graph.node.append(helper.make_node("F", ["x"], ["z"], domain="own"))
    verify_model("m", model.SerializeToString())


@pytest.mark.parametrize("content", [linear_model(), mixed_model()])
def test_ordinary_models_are_accepted(content: bytes) -> None:
    """Weights inside the file and operators of the standard domains pass."""
    verify_model("m", content)


@pytest.mark.parametrize("content", [b"", b"\x00", b"not a model", linear_model()[:-20]])
def test_file_that_is_no_whole_model_is_refused(content: bytes) -> None:
    """Empty, foreign and truncated files are refused with a reason."""
    with pytest.raises(ModelRefused):
        verify_model("m", content)


@pytest.mark.parametrize("operator", ["EPContext", "ATen", "PythonOp"])
def test_operator_that_runs_foreign_code_is_refused(operator: str) -> None:
    """A node may not name a file or a program of the server's, whatever its domain allows."""
    model = identity()
    model.graph.node.append(helper.make_node(operator, ["x"], ["z"], domain="com.microsoft"))
    with pytest.raises(ModelRefused, match=operator):
        verify_model("m", model.SerializeToString())


@pytest.mark.parametrize("place", ["model", "graph", "node"])
def test_field_that_is_not_known_is_refused(place: str) -> None:
    """The engine may know it, and what it means there."""
    unknown = b"\xf8\x7f\x01"  # field 2047, a number
    model = identity()
    message = {"model": model, "graph": model.graph, "node": model.graph.node[0]}[place]
    message.MergeFromString(unknown)
    with pytest.raises(ModelRefused, match="does not know"):
        verify_model("m", model.SerializeToString())
