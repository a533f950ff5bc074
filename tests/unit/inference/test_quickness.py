"""Which runs stay on the event loop: only those whose time is known and shorter than a thread's."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from inference.loading import load_version
from inference.manifest import Manifest, parse_manifest
from inference.quickness import has_known_time
from inference.settings import InferenceSettings
from inference.signature import Signature, TensorSpec
from inference.version_files import VersionPath
from tests.unit.inference.fakes import (
    FAR,
    POISON,
    DoublingRuntime,
    HeldExecutor,
    ask,
    doubled,
    make_batcher,
    rows_of,
    turn,
)
from tests.unit.inference.onnx_models import greeting_model, linear_model, model_of, tensor

NUMBERS = Signature(
    (TensorSpec("x", "FP32", (-1, 3)),), (TensorSpec("y", "FP32", (-1, 1)),), is_batchable=True
)
TEXTS = Signature(
    (TensorSpec("text", "BYTES", (-1, 1)),), (TensorSpec("y", "BYTES", (-1, 1)),), is_batchable=True
)


def proto(content: bytes) -> Any:  # noqa: ANN401 - onnx has no types
    """Parse a model."""
    return onnx.load_from_string(content)


def manifest_of(*kinds: str) -> Manifest:
    """Name features of these types for the input `text`."""
    features = [
        f'[[features]]\nname = "f{number}"\ninput = "text"\ntype = "{kind}"\n'
        + ('categories = ["yes", "no"]\n' if kind == "category" else "")
        for number, kind in enumerate(kinds)
    ]
    return parse_manifest("m", "".join(features).encode())


def expanding_model() -> Any:  # noqa: ANN401 - onnx has no types
    """Repeat x as often as its values say: the work is in the values."""
    return model_of(
        [helper.make_node("Tile", ["x", "times"], ["y"])],
        [tensor("x", ["rows", 3]), tensor("times", [2], TensorProto.INT64)],
        [tensor("y", [None, None])],
    )


def wide_model() -> bytes:
    """Answer x itself, whose rows are too wide to have an example."""
    model = model_of(
        [helper.make_node("Identity", ["x"], ["y"])],
        [tensor("x", ["rows", 20_000])],
        [tensor("y", ["rows", 20_000])],
    )
    return bytes(model.SerializeToString())


def test_plain_arithmetic_on_fixed_shapes_has_a_known_time() -> None:
    """Its work follows from the number of rows."""
    assert has_known_time(proto(linear_model()), NUMBERS, Manifest())


def test_work_that_values_decide_has_no_known_time() -> None:
    """One request could hold up every tenant."""
    assert not has_known_time(expanding_model(), NUMBERS, Manifest())


def test_items_of_any_length_have_no_known_time() -> None:
    """A long sequence costs more than a short one."""
    wide = Signature((TensorSpec("x", "FP32", (-1, -1)),), NUMBERS.outputs, is_batchable=True)
    assert not has_known_time(proto(linear_model()), wide, Manifest())


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [(["category"], True), (["category", "category"], True), (["category", "string"], False)],
)
def test_text_has_a_known_time_only_as_categories(kinds: Sequence[str], *, expected: bool) -> None:
    """A text can be as long as the body cap."""
    assert has_known_time(proto(greeting_model()), TEXTS, manifest_of(*kinds)) is expected


def test_text_that_nothing_describes_has_no_known_time() -> None:
    """A graph alone says nothing of its texts."""
    assert not has_known_time(proto(greeting_model()), TEXTS, Manifest())


def test_wide_rows_are_measured_without_an_example(tmp_path: Path) -> None:
    """Nobody writes down an image; its time is known from zeros all the same."""
    files = tmp_path / "wide" / "1"
    files.mkdir(parents=True)
    (files / "model.onnx").write_bytes(wide_model())
    settings = InferenceSettings(inline_run_microseconds=10_000)
    version = load_version(VersionPath(tmp_path, "wide", "1"), settings)
    assert version.example is None
    assert version.quick_rows > 0


async def test_few_rows_run_on_the_loop_and_many_in_the_thread() -> None:
    """The number of rows that was measured decides."""
    executor = HeldExecutor()
    batcher = make_batcher(DoublingRuntime(), executor, quick_rows=2)
    quick = await batcher.predict(rows_of(1, 2), rows=2, lane="a", deadline=FAR)
    slow = asyncio.ensure_future(batcher.predict(rows_of(1, 2, 3), rows=3, lane="a", deadline=FAR))
    await turn()
    assert doubled(quick) == [2, 4]
    assert executor.held == 1
    await executor.run_all()
    assert doubled(await slow) == [2, 4, 6]
    batcher.close()


async def test_callers_of_one_round_share_a_run_on_the_loop() -> None:
    """Staying on the loop changes nothing about batches; the culprit still fails alone."""
    runtime = DoublingRuntime()
    batcher = make_batcher(runtime, HeldExecutor(), quick_rows=8)
    asked = [ask(batcher, value) for value in (1.0, POISON, 3.0)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert runtime.rows_of_runs == [3, 1, 1, 1]
    assert [type(answer).__name__ for answer in answers] == [
        "Prediction",
        "ModelFailed",
        "Prediction",
    ]
    batcher.close()


async def test_model_that_turns_slow_goes_to_the_thread() -> None:
    """Three slow runs in a row, and no further run holds the loop up."""
    executor = HeldExecutor()
    batcher = make_batcher(DoublingRuntime(), executor, quick_rows=8, slow_seconds=0.0)
    for _ in range(3):
        await ask(batcher, 1.0)
    late = asyncio.ensure_future(ask(batcher, 1.0))
    await turn()
    assert executor.held == 1
    await executor.run_all()
    assert doubled(await late) == [2]
    batcher.close()
