"""Models are untrusted: external data and unknown operators are refused wherever they hide."""

from collections.abc import Callable

import pytest
from onnx import ModelProto, helper

from inference.errors import ModelRefused
from inference.verification import verify_model
from tests.unit.inference.external_models import (
    CARRIERS,
    LOCATIONS,
    identity,
    in_initializer,
)
from tests.unit.inference.onnx_models import linear_model, mixed_model, tensor


@pytest.mark.parametrize("hide", CARRIERS.values(), ids=CARRIERS)
def test_external_data_is_refused_in_any_carrier(hide: Callable[[], ModelProto]) -> None:
    """A model never names a file of the server, wherever in it the name stands."""
    with pytest.raises(ModelRefused, match="external data"):
        verify_model("m", hide().SerializeToString())


@pytest.mark.parametrize("location", LOCATIONS)
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
