"""Build the model that is all wire: the mean of an image, so that reading it is the work."""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

NAME = "image"
VALUES = 3 * 224 * 224


def write_image_repository(repository: Path) -> Path:
    """Write ``image`` as a model repository with the defaults of batching; name its model file."""
    path = repository / NAME / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    onnx.save(build_image_model(), path)
    return path


def build_image_model() -> onnx.ModelProto:
    """Build the mean of each row.

    Shape: ``pixels`` FP32 ``[rows, 150528]`` to ``mean`` FP32 ``[rows]``.
    """
    axes = numpy_helper.from_array(np.array([1], dtype=np.int64), "axes")
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0)],
        NAME,
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["rows", VALUES])],
        [helper.make_tensor_value_info("mean", TensorProto.FLOAT, ["rows"])],
        [axes],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def build_images(rows: int) -> NDArray[np.float32]:
    """Draw images from a fixed seed, each value with as many digits as a float has.

    Shape: ``[rows, 150528]``.
    """
    return np.random.default_rng(0).random((rows, VALUES), dtype=np.float32)
