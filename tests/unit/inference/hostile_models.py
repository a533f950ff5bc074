"""Models that take what they can get: memory, time, files, or the engine itself."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.protobuf_fields import field
from tests.unit.inference.onnx_models import linear_model, model_of, tensor


def _constant(name: str, values: object, dtype: type = np.int64) -> object:
    return numpy_helper.from_array(np.array(values, dtype), name)


def memory_asker(gibibytes: int = 8) -> bytes:
    """Ask for a tensor of zeros of 8 GiB whatever the input; a file of hundred bytes."""
    model = model_of(
        [
            helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
            helper.make_node("ReduceMax", ["zeros"], ["most"], keepdims=0),
            helper.make_node("Add", ["x", "most"], ["y"]),
        ],
        [tensor("x", ["rows"])],
        [tensor("y", ["rows"])],
        initializers=[_constant("size", [gibibytes * 1024**3 // 4])],
    )
    return bytes(model.SerializeToString())


def batch_memory_asker() -> bytes:
    """Ask for 256 MiB for each row, so that one row passes and a full batch does not."""
    model = model_of(
        [
            helper.make_node("Expand", ["x", "width"], ["wide"]),
            helper.make_node("ReduceMax", ["wide"], ["y"], axes=[1], keepdims=0),
        ],
        [tensor("x", ["rows", 1])],
        [tensor("y", ["rows"])],
        initializers=[_constant("width", [1, 64 * 1024**2])],
    )
    return bytes(model.SerializeToString())


def endless_loop() -> bytes:
    """Count until 2**62 before the answer."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["sum", "one"], ["more"]),
        ],
        "body",
        [
            tensor("turn", [], TensorProto.INT64),
            tensor("go", [], TensorProto.BOOL),
            tensor("sum", []),
        ],
        [tensor("go_on", [], TensorProto.BOOL), tensor("more", [])],
    )
    model = model_of(
        [
            helper.make_node("Loop", ["turns", "yes", "zero"], ["total"], body=body),
            helper.make_node("Add", ["x", "total"], ["y"]),
        ],
        [tensor("x", ["rows"])],
        [tensor("y", ["rows"])],
        initializers=[
            _constant("turns", 2**62),
            _constant("yes", True, bool),  # noqa: FBT003 - the value of a tensor
            _constant("zero", 0, np.float32),
            _constant("one", 1, np.float32),
        ],
    )
    return bytes(model.SerializeToString())


def product_chain(size: int = 6000, length: int = 200) -> bytes:
    """Multiply 6,000² matrices again and again: single operators that no flag can stop."""
    nodes = [
        helper.make_node("Expand", ["x", "square"], ["m0"]),
        *(helper.make_node("MatMul", [f"m{n}", "m0"], [f"m{n + 1}"]) for n in range(length)),
        helper.make_node("ReduceMax", [f"m{length}"], ["y"], axes=[0, 1], keepdims=0),
    ]
    model = model_of(
        nodes,
        [tensor("x", [1, 1])],
        [tensor("y", [])],
        initializers=[_constant("square", [size, size])],
    )
    return bytes(model.SerializeToString())


def deep_nesting(depth: int = 3000) -> bytes:
    """Nest graphs in graphs, by hand: the library itself would give up while it writes them."""
    graph = field(2, b"g")
    for _ in range(depth):
        node = field(4, b"If") + field(
            5, field(1, b"then_branch") + field(6, graph) + b"\xa0\x01\x05"
        )
        graph = field(1, node)
    return b"\x08\x09" + field(8, field(1, b"") + b"\x10\x11") + field(7, graph)


def external(location: str = "../../etc/passwd") -> bytes:
    """Name a file of the server for the weights."""
    weights = numpy_helper.from_array(np.zeros(3, np.float32), "stolen")
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=location)
    model = model_of(
        [helper.make_node("Add", ["x", "stolen"], ["y"])],
        [tensor("x", ["rows", 3])],
        [tensor("y", ["rows", 3])],
        initializers=[weights],
    )
    return bytes(model.SerializeToString())


def unknown_operator() -> bytes:
    """Use an operator of a domain that nobody here has."""
    model = model_of(
        [helper.make_node("Run", ["x"], ["y"], domain="evil.ops")],
        [tensor("x", ["rows"])],
        [tensor("y", ["rows"])],
    )
    return bytes(model.SerializeToString())


def truncated(part: float = 0.5) -> bytes:
    """Leave out the end of a model."""
    content = linear_model()
    return content[: int(len(content) * part)]


HOSTILE: Mapping[str, Callable[[], bytes]] = MappingProxyType(
    {
        "memory": memory_asker,
        "endless loop": endless_loop,
        "product chain": product_chain,
        "deep nesting": deep_nesting,
        "external data": external,
        "unknown operator": unknown_operator,
        "truncated": truncated,
    }
)
