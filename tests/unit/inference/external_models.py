"""Models that name a file of the server for their data, in every place that can carry the name."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from onnx import ModelProto, SparseTensorProto, TensorProto, helper, numpy_helper

from tests.unit.inference.onnx_models import model_of, tensor

LOCATIONS: Final = (
    "weights.bin",
    "model.onnx",
    "/etc/passwd",
    "../../etc/passwd",
    "file:///etc/passwd",
    "*/_",
    "",
)


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


CARRIERS: Mapping[str, Callable[[], ModelProto]] = MappingProxyType(
    {
        "initializer": in_initializer,
        "attribute": in_attribute,
        "attribute list": in_attribute_list,
        "sparse initializer": in_sparse_initializer,
        "sparse indices": in_sparse_indices,
        "subgraph": in_subgraph,
        "function": in_function,
        "training": in_training,
        "graph list": in_graph_list,
        "default of a function": in_default_of_a_function,
        "unmarked": unmarked,
    }
)
