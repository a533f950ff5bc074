"""The conv net is what the benchmark says that it is."""

import numpy as np
import onnxruntime
import pytest

from benchmarks.conv_model import INPUT_SHAPE, build_conv_model


def test_conv_model_answers_each_row_for_itself() -> None:
    """Whether rows share a run changes no score."""
    session = onnxruntime.InferenceSession(build_conv_model().SerializeToString())
    images = np.random.default_rng(1).random((3, *INPUT_SHAPE), dtype=np.float32)
    [together] = session.run(None, {"image": images})
    alone = [session.run(None, {"image": image[np.newaxis]})[0][0] for image in images]
    assert together.tolist() == pytest.approx(alone, rel=1e-4)
