"""Build the model where batching hurts: its layers fit into the cache for one image alone."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

INPUT_SHAPE = (3, 14, 14)
CHANNELS = (3, 8, 8, 8)
NAME = "conv"
_ENLARGED = 16
"""14 x 14 is sent and 224 x 224 computed, so that the run is measured and not its JSON."""


def write_conv_repository(repository: Path, *, max_batch_size: int) -> None:
    """Write ``conv`` as a model repository; with ``max_batch_size`` 1 every request runs alone."""
    folder = repository / NAME
    (folder / "1").mkdir(parents=True)
    onnx.save(build_conv_model(), folder / "1" / "model.onnx")
    (folder / "model.toml").write_text(
        'description = "Random weights, for the benchmark of batching."\n'
        f"[batching]\nmax_batch_size = {max_batch_size}\n"
    )


def build_conv_model() -> onnx.ModelProto:
    """Build three 1 x 1 convolutions of 8 channels over 224 x 224 pixels, from a fixed seed.

    Shape: ``image`` FP32 ``[rows, 3, 14, 14]`` to ``score`` FP32 ``[rows]``.
    """
    random = np.random.default_rng(0)
    scales = np.array([1, 1, _ENLARGED, _ENLARGED], np.float32)
    weights = [numpy_helper.from_array(scales, "scales")]
    nodes = [helper.make_node("Resize", ["image", "", "scales"], ["layer"], mode="nearest")]
    value = "layer"
    for layer, (inputs, outputs) in enumerate(pairwise(CHANNELS)):
        kernel = random.standard_normal((outputs, inputs, 1, 1)) * np.sqrt(2 / inputs)
        weights.append(numpy_helper.from_array(kernel.astype(np.float32), f"kernel{layer}"))
        nodes.append(helper.make_node("Conv", [value, f"kernel{layer}"], [f"sums{layer}"]))
        nodes.append(helper.make_node("Relu", [f"sums{layer}"], [f"layer{layer}"]))
        value = f"layer{layer}"
    weights.append(numpy_helper.from_array(np.array([1, 2, 3], dtype=np.int64), "axes"))
    nodes.append(helper.make_node("ReduceMean", [value, "axes"], ["score"], keepdims=0))
    graph = helper.make_graph(
        nodes,
        NAME,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["rows", *INPUT_SHAPE])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["rows"])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
