"""The repository on disk, what is refused of it, and how the rest is found."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inference.errors import ContractViolated, ModelNotFound, ModelNotReady
from inference.predictor import Predictor
from inference.registry import ModelVersion, Registry
from inference.routing import Selection
from inference.settings import InferenceSettings
from inference.tracks import BackExecutors
from tests.unit.inference.onnx_models import (
    greeting_model,
    linear_model,
    lookup_model,
    mixed_model,
    row_mixing_model,
)

MIXED_TOML = """
description = "A sum."
unit_weight = 3

[batching]
max_batch_size = 16

[[features]]
name = "one"
input = "numbers"
type = "number"

[[features]]
name = "two"
input = "numbers"
type = "number"

[[features]]
name = "thousand"
input = "answer"
type = "category"
categories = ["no", "yes"]

[[outputs]]
name = "price"
unit = "points"

[example]
one = 1
two = 2
thousand = "yes"
"""


def put(
    root: Path, content: bytes, place: str = "m/1", *, toml: str = "", golden: object = None
) -> Path:
    """Write one version into a repository."""
    folder = root / place
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(content)
    if toml:
        (folder.parent / "model.toml").write_text(toml)
    if golden is not None:
        (folder / "golden.json").write_text(json.dumps(golden))
    return folder


def load(root: Path) -> Registry:
    """Load a repository with the default settings."""
    return Registry.load(root, InferenceSettings())


def the_model(root: Path) -> ModelVersion:
    """Load the only model."""
    return load(root).resolve("m")


def reason(root: Path) -> str:
    """Say why the only version did not load."""
    [status] = load(root).statuses()
    assert not status.is_ready
    return status.reason


def test_manifest_describes_the_model(tmp_path: Path) -> None:
    """What the author wrote is there: weight, batching, outputs, example and contract."""
    put(tmp_path, mixed_model(), toml=MIXED_TOML)
    model = the_model(tmp_path)
    assert (model.name, model.version, model.description) == ("m", "1", "A sum.")
    assert (model.unit_weight, model.max_batch_size, model.max_queue_rows) == (3, 16, 4096)
    assert model.contract.feature_names == ("one", "two", "thousand")
    assert model.example == {"one": 1, "two": 2, "thousand": "yes"}
    assert model.outputs[0].unit == "points"


def test_model_without_manifest_is_served_from_its_graph(tmp_path: Path) -> None:
    """A bare `model.onnx` is enough."""
    put(tmp_path, linear_model())
    model = the_model(tmp_path)
    assert not model.contract.is_named
    assert model.unit_weight == 1
    assert model.example == [0.0, 0.0, 0.0]


def test_highest_version_is_the_default(tmp_path: Path) -> None:
    """Versions are numbers, so 10 is after 9; each stays reachable by its name."""
    for version in ("9", "10", "2"):
        put(tmp_path, linear_model(), f"m/{version}")
    registry = load(tmp_path)
    assert registry.resolve("m").version == "10"
    assert registry.resolve("m", Selection("2")).version == "2"
    assert [model.version for model in registry.models()] == ["2", "9", "10"]


def test_unknown_model_and_version_are_not_found(tmp_path: Path) -> None:
    """A name or number that is not in the repository is simply not there."""
    put(tmp_path, linear_model())
    registry = load(tmp_path)
    for name, version in (("n", None), ("m", "2"), ("m", "01")):
        with pytest.raises(ModelNotFound):
            registry.resolve(name, Selection(version))


def test_broken_model_is_not_ready_and_others_are_served(tmp_path: Path) -> None:
    """One bad file does not take the others down, and says what is wrong with it."""
    put(tmp_path, linear_model(), "good/1")
    put(tmp_path, linear_model()[:-20], "broken/1")
    registry = load(tmp_path)
    assert registry.resolve("good").version == "1"
    with pytest.raises(ModelNotReady) as refused:
        registry.resolve("broken")
    assert refused.value.reason


def test_older_version_serves_when_the_newest_is_broken(tmp_path: Path) -> None:
    """The default is the highest version that is ready."""
    put(tmp_path, linear_model(), "m/1")
    put(tmp_path, b"broken", "m/2")
    registry = load(tmp_path)
    assert registry.resolve("m").version == "1"
    with pytest.raises(ModelNotReady):
        registry.resolve("m", Selection("2"))


def test_golden_samples_are_checked(tmp_path: Path) -> None:
    """A model that answers as it should is served."""
    golden = {"instances": [[1, 2, 3], [0, 0, 1]], "predictions": [[321], [100]]}
    put(tmp_path, linear_model(), golden=golden)
    assert the_model(tmp_path).version == "1"


@pytest.mark.parametrize(
    "golden",
    [
        {"instances": [[1, 2, 3]], "predictions": [[322]]},
        {"instances": [[1, 2, 3]], "predictions": [[321], [1]]},
        {"instances": [[1, 2, 3]], "predictions": ["x"]},
        {"instances": [[1, 2]], "predictions": [[321]]},
        {"instances": [], "predictions": []},
        {"instances": [[1, 2, 3]]},
        {"instances": [[1, 2, 3]], "predictions": [[321]], "extra": 1},
        [],
    ],
)
def test_model_that_differs_from_its_golden_samples_is_refused(
    tmp_path: Path, golden: object
) -> None:
    """A wrong answer, or samples that make no sense, keep a model from customers."""
    put(tmp_path, linear_model(), golden=golden)
    assert "golden" in reason(tmp_path)


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("descriptoin = 'x'", "descriptoin"),
        ("unit_weight = 0", "unit_weight"),
        ("unit_weight = '1'", "unit_weight"),
        ("[batching]\nmax_batch = 1", "batching.max_batch"),
        ("[batching]\nmax_batch_size = 64\nmax_queue_rows = 1", "batching"),
        ("[[features]]\nname = 'a'\ninput = 'x'\ntype = 'float'", "features.0.type"),
        ("[[features]]\nname = 'a'\ninput = 'x'\ntype = 'category'", "features.0"),
        (
            "[[features]]\nname = 'a'\ninput = 'x'\ntype = 'number'\nminimum = 2\nmaximum = 1",
            "features.0",
        ),
        ("[[features]]\nname = 'a'\ninput = 'z'\ntype = 'number'", "no input z"),
        ("[[features]]\nname = 'a'\ninput = 'x'\ntype = 'number'", "3 columns, but 1 features"),
        ("[[features]]\nname = 'a'\ninput = 'x'\ntype = 'string'", "3 columns"),
        ("[[outputs]]\nname = 'z'", "no output z"),
        ("[example]\nx = [1, 2]", "example"),
        ("not toml", "model.toml"),
    ],
)
def test_mistake_in_the_manifest_names_the_member(tmp_path: Path, line: str, place: str) -> None:
    """A typing error is told with its place, never ignored."""
    put(tmp_path, linear_model(), toml=line)
    assert place in reason(tmp_path)


def test_example_that_breaks_the_contract_is_refused(tmp_path: Path) -> None:
    """The documentation never shows a request that is answered with an error."""
    put(tmp_path, mixed_model(), toml=MIXED_TOML.replace('thousand = "yes"', 'thousand = "y"'))
    assert "thousand must be one of: no, yes" in reason(tmp_path)


def test_default_that_breaks_its_feature_is_refused(tmp_path: Path) -> None:
    """A default is a value like any other."""
    toml = MIXED_TOML.replace('type = "category"', 'type = "category"\ndefault = "maybe"')
    put(tmp_path, mixed_model(), toml=toml)
    assert "default of feature thousand" in reason(tmp_path)


def test_model_that_fails_on_its_own_example_is_refused(tmp_path: Path) -> None:
    """A model is warmed with its example before customers meet it."""
    put(tmp_path, lookup_model(), toml="[example]\nindex = 9")
    assert "fails on its example" in reason(tmp_path)


def test_model_that_mixes_its_rows_is_never_batched(tmp_path: Path) -> None:
    """A softmax over the rows would answer one caller with a share of another's."""
    put(tmp_path, row_mixing_model())
    assert the_model(tmp_path).max_batch_size == 1


def test_link_out_of_the_repository_is_refused(tmp_path: Path) -> None:
    """A link would let the author of a model read any file of the server."""
    (tmp_path / "outside.onnx").write_bytes(linear_model())
    folder = tmp_path / "repository" / "m" / "1"
    folder.mkdir(parents=True)
    (folder / "model.onnx").symlink_to(tmp_path / "outside.onnx")
    assert "leaves the repository" in reason(tmp_path / "repository")


def test_missing_model_file_is_told(tmp_path: Path) -> None:
    """A folder without its model is not ready."""
    put(tmp_path, b"").joinpath("model.onnx").unlink()
    assert "model.onnx: No such file" in reason(tmp_path)


def test_folder_in_place_of_the_model_is_told(tmp_path: Path) -> None:
    """A model is a file."""
    folder = put(tmp_path, b"")
    folder.joinpath("model.onnx").unlink()
    folder.joinpath("model.onnx").mkdir()
    assert "model.onnx" in reason(tmp_path)


def test_unknown_file_beside_the_model_is_refused(tmp_path: Path) -> None:
    """A version holds its model and its golden samples, nothing that a model could read."""
    put(tmp_path, linear_model()).joinpath("weights.bin").write_bytes(b"x")
    assert "weights.bin" in reason(tmp_path)


@pytest.mark.parametrize("is_hard", [False, True])
def test_link_beside_the_model_is_refused(tmp_path: Path, *, is_hard: bool) -> None:
    """Neither kind of link can carry a file of the server to where a model could name it."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"x")
    beside = put(tmp_path / "models", linear_model()) / "weights.bin"
    if is_hard:
        beside.hardlink_to(secret)
    else:
        beside.symlink_to(secret)
    assert "weights.bin" in reason(tmp_path / "models")


def test_folders_that_are_no_models_are_left_out(tmp_path: Path) -> None:
    """Hidden folders, odd names and names of versions that are no numbers are not models."""
    put(tmp_path, linear_model(), "m/1")
    for place in (".git/1", "a b/1", "m/01", "m/latest", "m/0"):
        put(tmp_path, linear_model(), place)
    assert [(status.name, status.version) for status in load(tmp_path).statuses()] == [("m", "1")]


async def test_predictor_answers_with_the_model_that_was_asked(tmp_path: Path) -> None:
    """Every model has a batcher of its own, and answers agree with the graph."""
    put(tmp_path, linear_model(), "linear/1")
    put(tmp_path, greeting_model(), "greeting/1")
    registry = load(tmp_path)
    with ThreadPoolExecutor(1) as executor:
        predictor = Predictor(registry, executor)
        deadline = asyncio.get_running_loop().time() + 60
        linear, greeting = registry.resolve("linear"), registry.resolve("greeting")
        tensors = linear.contract.rows_to_tensors([[1, 2, 3]])
        text = {"text": np.array(["a", "b"], object)}
        number, word = await asyncio.gather(
            predictor.predict(linear, tensors, rows=1, lane="a", deadline=deadline),
            predictor.predict(greeting, text, rows=2, lane="a", deadline=deadline),
        )
        assert predictor.batcher_of(linear).rows == 1
        predictor.close()
    assert number.outputs["y"].tolist() == [[321.0]]
    assert word.outputs["echo"].tolist() == ["a", "b"]


@pytest.mark.parametrize(("quick_rows", "tracks"), [(0, 2), (63, 2), (64, 1)])
def test_model_whose_every_run_is_quick_has_one_track(
    tmp_path: Path, quick_rows: int, tracks: int
) -> None:
    """Nobody waits long for a run on the loop, whoever floods."""
    put(tmp_path, linear_model())
    model = replace(load(tmp_path).resolve("m"), max_batch_size=64, quick_rows=quick_rows)
    with ThreadPoolExecutor(1) as executor:
        predictor = Predictor(Registry(), executor, BackExecutors(executor, executor))
        predictor.add(model)
        assert len(predictor.batcher_of(model)._lines) == tracks
        predictor.close()


async def test_closed_predictor_refuses(tmp_path: Path) -> None:
    """A request that comes after the end is told so."""
    put(tmp_path, linear_model())
    registry = load(tmp_path)
    with ThreadPoolExecutor(1) as executor:
        predictor = Predictor(registry, executor)
        predictor.close()
        model = registry.resolve("m")
        tensors = model.contract.rows_to_tensors([[1, 2, 3]])
        with pytest.raises(ModelNotReady):
            await predictor.predict(model, tensors, rows=1, lane="a", deadline=1e18)


async def test_many_tenants_in_shared_batches_get_their_own_rows(tmp_path: Path) -> None:
    """Rows of 20 tenants through a real session and a real thread are never misrouted."""
    put(tmp_path, linear_model())
    registry = load(tmp_path)
    model = registry.resolve("m")

    async def tenant(predictor: Predictor, number: int) -> int:
        right = 0
        for turn in range(50):
            rows: list[object] = [[number, turn, row] for row in range(1 + turn % 3)]
            tensors = model.contract.rows_to_tensors(rows)
            prediction = await predictor.predict(
                model, tensors, rows=len(rows), lane=str(number), deadline=1e18
            )
            expected = [[number + 10 * turn + 100 * row] for row in range(len(rows))]
            right += prediction.outputs["y"].tolist() == expected
        return right

    with ThreadPoolExecutor(1) as executor:
        predictor = Predictor(registry, executor)
        counts = await asyncio.gather(*(tenant(predictor, number) for number in range(20)))
        predictor.close()
    assert counts == [50] * 20


def test_violation_reaches_the_caller_by_name(tmp_path: Path) -> None:
    """From file to error: the feature of the manifest is in the violation."""
    put(tmp_path, mixed_model(), toml=MIXED_TOML)
    with pytest.raises(ContractViolated, match="row 0: thousand must be one of: no, yes"):
        the_model(tmp_path).contract.rows_to_tensors([{"one": 1, "two": 2, "thousand": "SECRET"}])
