"""The engine: what it reads from a graph, and that it computes what NumPy does."""

import gc
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from inference.errors import InputInvalid, ModelRefused
from inference.onnx_runtime import OnnxRuntime
from inference.settings import InferenceSettings
from inference.signature import Signature, TensorSpec
from inference.verification import verify_model
from tests.unit.inference.onnx_models import (
    WEIGHTS,
    greeting_model,
    linear_model,
    lookup_model,
    mixed_model,
    model_of,
    tensor,
)

ROOT = Path(__file__).parents[3]


def test_nothing_is_written_for_the_makers_of_the_engine(tmp_path: Path) -> None:
    """The home folder of whoever serves a model is as it was."""
    environment = os.environ | {"HOME": str(tmp_path)}
    environment.pop("XDG_CACHE_HOME", None)
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    program = (
        "from inference.onnx_runtime import OnnxRuntime\n"
        "from tests.unit.inference.onnx_models import linear_model\n"
        "OnnxRuntime('m', linear_model())\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, check=True)
    assert list(tmp_path.iterdir()) == []


def test_signature_is_read_from_the_graph() -> None:
    """Names, datatypes and shapes with -1 for what varies."""
    assert OnnxRuntime("m", linear_model()).signature == Signature(
        (TensorSpec("x", "FP32", (-1, 3)),), (TensorSpec("y", "FP32", (-1, 1)),), is_batchable=True
    )


@pytest.mark.parametrize(("rows", "is_batchable"), [("rows", True), (None, True), (4, False)])
def test_batch_axis_is_a_variable_first_dimension(
    rows: str | int | None, *, is_batchable: bool
) -> None:
    """Rows of different callers share a run only where axis 0 varies."""
    assert OnnxRuntime("m", linear_model(rows)).signature.is_batchable is is_batchable


def test_axes_of_different_names_are_no_batch_axis() -> None:
    """Inputs whose first dimensions are different variables cannot be joined row by row."""
    model = model_of(
        [helper.make_node("Concat", ["a", "b"], ["c"], axis=0)],
        [tensor("a", ["n", 1]), tensor("b", ["m", 1])],
        [tensor("c", [None, 1])],
    )
    assert not OnnxRuntime("m", model.SerializeToString()).signature.is_batchable


def test_answers_agree_with_numpy() -> None:
    """A matrix product is the same here and there."""
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    answer = OnnxRuntime("m", linear_model()).run({"x": rows})
    assert np.allclose(answer["y"], rows @ WEIGHTS)


def test_text_goes_in_and_comes_out_as_text() -> None:
    """Zero characters and letters of other alphabets survive both ways."""
    words = np.array(["", "ü€", "a\x00b", "x" * 100], object)
    assert OnnxRuntime("m", greeting_model()).run({"text": words})["echo"].tolist() == list(words)


def test_numbers_and_text_go_in_together() -> None:
    """Several inputs of different datatypes make one answer."""
    tensors = {
        "numbers": np.array([[1, 2], [3, 4]], np.float32),
        "answer": np.array([["yes"], ["no"]], object),
    }
    assert OnnxRuntime("m", mixed_model()).run(tensors)["price"].tolist() == [1003.0, 7.0]


def test_value_that_the_graph_cannot_take_is_the_callers_fault() -> None:
    """An index beyond a table is invalid input, not a failure of the server."""
    with pytest.raises(InputInvalid):
        OnnxRuntime("m", lookup_model()).run({"index": np.array([9])})


def test_engine_refuses_what_it_cannot_load() -> None:
    """A graph that is no graph is refused with the engine's reason."""
    model = model_of(
        [helper.make_node("MatMul", ["x", "nowhere"], ["y"])],
        [tensor("x", [None, 3])],
        [tensor("y", [None, 1])],
    )
    with pytest.raises(ModelRefused, match="cannot load"):
        OnnxRuntime("m", model.SerializeToString())


def test_output_that_is_no_tensor_is_refused() -> None:
    """A sequence of dictionaries, as scikit-learn's classifiers give by default, is not served."""
    output = helper.make_value_info(
        "z", helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [3]))
    )
    model = model_of(
        [helper.make_node("SequenceConstruct", ["x"], ["z"])], [tensor("x", [3])], [output]
    )
    with pytest.raises(ModelRefused, match="z is a seq"):
        OnnxRuntime("m", model.SerializeToString())


def test_engine_alone_cannot_read_files_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even a model that slipped past verification finds nothing."""
    (tmp_path / "secret.bin").write_bytes(bytes(12))
    monkeypatch.chdir(tmp_path)
    model = model_of(
        [helper.make_node("Add", ["x", "stolen"], ["y"])], [tensor("x", [3])], [tensor("y", [3])]
    )
    stolen = model.graph.initializer.add(name="stolen", data_type=TensorProto.FLOAT, dims=[3])
    stolen.data_location = TensorProto.EXTERNAL
    stolen.external_data.add(key="location", value="secret.bin")
    with pytest.raises(ModelRefused):
        verify_model("m", model.SerializeToString())
    with pytest.raises(ModelRefused, match=r"/dev/null/secret\.bin"):
        OnnxRuntime("m", model.SerializeToString())


def test_closed_engine_lets_go_of_its_session() -> None:
    """Memory comes back when a model is closed."""
    runtime = OnnxRuntime("m", linear_model())
    runtime.close()
    gc.collect()
    assert runtime._session is None


def test_two_threads_may_run_at_once() -> None:
    """A mirrored request runs beside those of callers, and each gets its own answer."""
    runtime = OnnxRuntime("m", linear_model())

    def is_right(number: int) -> bool:
        rows = np.full((7, 3), number, np.float32)
        return bool(np.array_equal(runtime.run({"x": rows})["y"], rows @ WEIGHTS))

    with ThreadPoolExecutor(2) as threads:
        assert all(threads.map(is_right, range(400)))


def test_name_that_is_no_text_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    """The engine's own message cannot be read then, and nothing is tried again in silence."""
    content = linear_model().replace(b"MatMul", b"Mat\xfful")
    with pytest.raises(ModelRefused, match="UTF-8"):
        OnnxRuntime("m", content)
    assert capfd.readouterr().out == ""


def test_provider_that_is_not_there_is_refused() -> None:
    """A model never runs on the processor where the operator asked for something faster."""
    settings = InferenceSettings(execution_providers=("cuda", "cpu"))
    with (
        pytest.warns(UserWarning, match="CUDAExecutionProvider"),
        pytest.raises(ModelRefused, match="does not run on CUDAExecutionProvider"),
    ):
        OnnxRuntime("m", linear_model(), settings)


def test_engine_without_an_arena_answers_the_same() -> None:
    """The setting changes where memory comes from, nothing else."""
    runtime = OnnxRuntime("m", linear_model(), InferenceSettings(memory_arena=False))
    assert runtime.run({"x": np.array([[1, 2, 3]], np.float32)})["y"].tolist() == [[321.0]]
