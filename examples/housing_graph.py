"""Turn the trained scikit-learn pipeline into one ONNX graph, scaling and encoding included.

The graph takes ``numeric`` (FP32, ``[rows, 5]``) and ``categorical`` (BYTES, ``[rows, 6]``) and
answers ``price`` (FP32, ``[rows]``). The pipeline predicts the logarithm of a price; the
last nodes of the graph undo it.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

OPSET = 21
ML_OPSET = 3
IR_VERSION = 10
"""File format of ONNX 1.17, so that engines older than the trainer read it too."""


def log1p(numbers: NDArray[Any]) -> NDArray[np.float64]:
    """Take the logarithm of one more than each number, since a house may have no garage."""
    return np.log1p(np.asarray(numbers, dtype=np.float64))


def is_yes(answers: NDArray[Any]) -> NDArray[np.float64]:
    """Encode yes as 1 and no as 0; the graph turns any other word into NaN rather than into no."""
    return np.asarray(answers == "yes", dtype=np.float64)


def build_graph(
    pipeline: Pipeline, *, numeric_width: int, categorical_width: int
) -> onnx.ModelProto:
    """Convert a fitted pipeline that predicts log prices into a checked model of prices."""
    model = convert_sklearn(
        pipeline,
        name="housing",
        initial_types=[
            ("numeric", FloatTensorType([None, numeric_width])),
            ("categorical", StringTensorType([None, categorical_width])),
        ],
        target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
        custom_conversion_functions={FunctionTransformer: _convert_function},
        custom_shape_calculators={FunctionTransformer: _keep_width},
    )
    _append_price(model.graph)
    _name_rows(model.graph)
    model.ir_version = IR_VERSION
    model.doc_string = "House prices of Windsor, Ontario, 1987 (Anglin and Gencay, 1996)."
    onnx.checker.check_model(model, full_check=True)
    return model


def _append_price(graph: onnx.GraphProto) -> None:
    """Replace the output ``[rows, 1]`` of log prices by ``price``, a bare number per row."""
    log_price = graph.output[0].name
    graph.initializer.append(helper.make_tensor("per_row", TensorProto.INT64, [1], [-1]))
    graph.node.append(helper.make_node("Exp", [log_price], ["price_column"], name="Exp"))
    graph.node.append(
        helper.make_node("Reshape", ["price_column", "per_row"], ["price"], name="Price")
    )
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("price", TensorProto.FLOAT, ["rows"]))


def _name_rows(graph: onnx.GraphProto) -> None:
    """Give the inputs' first dimension the output's symbol: rows are independent."""
    for tensor in graph.input:
        tensor.type.tensor_type.shape.dim[0].dim_param = "rows"


# skl2onnx calls what follows with its own untyped objects, by exactly these parameter names.


def _keep_width(operator: Any) -> None:  # noqa: ANN401
    width = operator.inputs[0].type.shape[1]
    operator.outputs[0].type = FloatTensorType([None, width])


def _convert_function(scope: Any, operator: Any, container: Any) -> None:  # noqa: ANN401
    add_nodes = _NODES_OF[operator.raw_operator.func]
    add_nodes(scope, container, (operator.inputs[0].full_name, operator.outputs[0].full_name))


def _add_log1p(scope: Any, container: Any, names: tuple[str, str]) -> None:  # noqa: ANN401
    one = scope.get_unique_variable_name("one")
    plus_one = scope.get_unique_variable_name("plus_one")
    container.add_initializer(one, TensorProto.FLOAT, [1], [1.0])
    container.add_node(
        "Add", [names[0], one], plus_one, op_version=14, name=scope.get_unique_operator_name("Add")
    )
    container.add_node(
        "Log", plus_one, names[1], op_version=13, name=scope.get_unique_operator_name("Log")
    )


def _add_is_yes(scope: Any, container: Any, names: tuple[str, str]) -> None:  # noqa: ANN401
    """Encode every column with one node; skl2onnx's own encoders add two per column."""
    container.add_node(
        "LabelEncoder",
        names[0],
        names[1],
        op_domain="ai.onnx.ml",
        op_version=2,
        name=scope.get_unique_operator_name("IsYes"),
        keys_strings=["no", "yes"],
        values_floats=[0.0, 1.0],
        default_float=float("nan"),
    )


_NODES_OF: Mapping[Callable[..., Any], Callable[..., None]] = {
    log1p: _add_log1p,
    is_yes: _add_is_yes,
}
