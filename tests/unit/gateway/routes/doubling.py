"""A model that doubles a number, written as a repository holds it."""

from pathlib import Path

from onnx import TensorProto, checker, helper

MANIFEST = """\
description = "Doubles a number."

[[features]]
name = "amount"
input = "x"
type = "number"
minimum = 0
maximum = 1000

[example]
amount = 21
"""


def write_doubling_model(folder: Path, *, manifest: str = MANIFEST) -> None:
    """Write version 1 of a model of one column, `y = x + x`."""
    column = ["rows", 1]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "doubling",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, column)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, column)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    version = folder / "1"
    version.mkdir(parents=True)
    (version / "model.onnx").write_bytes(model.SerializeToString())
    if manifest:
        (folder / "model.toml").write_text(manifest, encoding="utf-8")
