"""Build the model where batching pays: much to read for one row, little more for sixty-four."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

INPUT_WIDTH = 16
HIDDEN_WIDTH = 2048
HIDDEN_LAYERS = 4
NAME = "heavy"


def write_heavy_repository(repository: Path, *, max_batch_size: int) -> None:
    """Write ``heavy`` as a model repository; with ``max_batch_size`` 1 every request runs alone."""
    folder = repository / NAME
    (folder / "1").mkdir(parents=True)
    onnx.save(build_heavy_model(), folder / "1" / "model.onnx")
    (folder / "model.toml").write_text(
        'description = "Random weights, for the benchmark of batching."\n'
        f"[batching]\nmax_batch_size = {max_batch_size}\n"
    )


def build_heavy_model() -> onnx.ModelProto:
    """Build an MLP of four 2048-wide layers with weights of 50 MB from a fixed seed.

    Shape: ``features`` FP32 ``[rows, 16]`` to ``score`` FP32 ``[rows]``.
    """
    widths = [INPUT_WIDTH] + [HIDDEN_WIDTH] * HIDDEN_LAYERS
    random = np.random.default_rng(0)
    nodes, weights, value = [], [], "features"
    for layer, (rows, columns) in enumerate(pairwise(widths)):
        matrix = random.standard_normal((rows, columns), dtype=np.float32) * np.sqrt(2 / rows)
        weights.append(numpy_helper.from_array(matrix.astype(np.float32), f"weights{layer}"))
        nodes.append(helper.make_node("MatMul", [value, f"weights{layer}"], [f"sums{layer}"]))
        nodes.append(helper.make_node("Relu", [f"sums{layer}"], [f"layer{layer}"]))
        value = f"layer{layer}"
    weights.append(numpy_helper.from_array(np.array([1], dtype=np.int64), "axes"))
    nodes.append(helper.make_node("ReduceMean", [value, "axes"], ["score"], keepdims=0))
    graph = helper.make_graph(
        nodes,
        NAME,
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", INPUT_WIDTH])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["rows"])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
