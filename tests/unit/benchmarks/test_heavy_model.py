"""The weight-heavy model is what the benchmark says that it is."""

import numpy as np
import onnxruntime
from onnx import numpy_helper

from benchmarks.heavy_model import INPUT_WIDTH, build_heavy_model


def test_heavy_model_computes_four_wide_layers() -> None:
    """The graph agrees with NumPy on its own weights."""
    model = build_heavy_model()
    rows = np.random.default_rng(1).standard_normal((3, INPUT_WIDTH), dtype=np.float32)
    weights = [numpy_helper.to_array(one) for one in model.graph.initializer[:-1]]
    expected = rows
    for matrix in weights:
        expected = np.maximum(expected @ matrix, 0)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    scores = session.run(["score"], {"features": rows})[0]
    assert [matrix.shape[1] for matrix in weights] == [2048] * 4
    np.testing.assert_allclose(scores, expected.mean(axis=1), rtol=1e-3)
