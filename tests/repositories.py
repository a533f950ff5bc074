"""Model repositories of the tests' own: small graphs whose answers can be worked out by hand."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.unit.inference.onnx_models import model_of, tensor


def write_model(repository: Path, name: str, content: bytes, *, version: int = 1) -> Path:
    """Put a graph where the server looks for it; return the model's folder."""
    folder = repository / name / str(version)
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(content)
    return folder.parent


def write_manifest(folder: Path, content: str) -> None:
    """Say more about a model than its graph does."""
    (folder / "model.toml").write_text(content, encoding="utf-8")


def identity_model() -> bytes:
    """Answer the number as it came. Shape: x [rows], y [rows]; datatype FP64, exact to 2**53."""
    model = model_of(
        [helper.make_node("Identity", ["x"], ["y"])],
        [tensor("x", ["rows"], TensorProto.DOUBLE)],
        [tensor("y", ["rows"], TensorProto.DOUBLE)],
    )
    return bytes(model.SerializeToString())


def image_model() -> bytes:
    """Answer the mean of a picture. Shape: x [rows, 2, 2], y [rows, 1, 1]."""
    model = model_of(
        [helper.make_node("ReduceMean", ["x"], ["y"], axes=[1, 2])],
        [tensor("x", ["rows", 2, 2])],
        [tensor("y", ["rows", 1, 1])],
    )
    return bytes(model.SerializeToString())


def scaled_model(factor: float) -> bytes:
    """Answer x times a factor. Shape: x [rows], y [rows]."""
    model = model_of(
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        [tensor("x", ["rows"])],
        [tensor("y", ["rows"])],
        initializers=[numpy_helper.from_array(np.array(factor, np.float32), "factor")],
    )
    return bytes(model.SerializeToString())


def sum_model() -> bytes:
    """Answer a + b, two inputs. Shape: a, b and total [rows]."""
    model = model_of(
        [helper.make_node("Add", ["a", "b"], ["total"])],
        [tensor("a", ["rows"]), tensor("b", ["rows"])],
        [tensor("total", ["rows"])],
    )
    return bytes(model.SerializeToString())


def parts_model() -> bytes:
    """Answer two outputs for one input. Shape: x, double and negative [rows]."""
    model = model_of(
        [
            helper.make_node("Add", ["x", "x"], ["double"]),
            helper.make_node("Neg", ["x"], ["negative"]),
        ],
        [tensor("x", ["rows"])],
        [tensor("double", ["rows"]), tensor("negative", ["rows"])],
    )
    return bytes(model.SerializeToString())


def reciprocal_model() -> bytes:
    """Answer 1 / x, infinite for 0. Shape: x [rows], y [rows]."""
    model = model_of(
        [helper.make_node("Reciprocal", ["x"], ["y"])],
        [tensor("x", ["rows"])],
        [tensor("y", ["rows"])],
    )
    return bytes(model.SerializeToString())
