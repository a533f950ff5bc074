"""The committed housing model is what its script trains, and says what scikit-learn says."""

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest

from examples import train_housing
from examples.housing_card import COLUMNS, NUMERIC_FEATURES
from examples.train_housing import Training

COMMITTED = train_housing.DEFAULT_REPOSITORY / "housing"


@dataclass(frozen=True)
class Retrained:
    """A training run of this test session and the folder that it wrote."""

    training: Training
    folder: Path


@pytest.fixture(scope="module")
def retrained(tmp_path_factory: pytest.TempPathFactory) -> Retrained:
    """Train once for all tests of this file."""
    repository = tmp_path_factory.mktemp("models")
    training = train_housing.train()
    train_housing.write_repository(training, repository)
    return Retrained(training, repository / "housing")


def test_retraining_predicts_what_the_committed_model_predicts(retrained: Retrained) -> None:
    """Nobody can change the script and forget the model, or the other way round."""
    rows = retrained.training.held_out.rows
    again = train_housing.run_onnx((retrained.folder / "1/model.onnx").read_bytes(), rows)
    committed = train_housing.run_onnx((COMMITTED / "1/model.onnx").read_bytes(), rows)
    np.testing.assert_allclose(again, committed, rtol=1e-5)


def test_retraining_writes_the_committed_contract(retrained: Retrained) -> None:
    """The contract is text, so it is the same to the byte."""
    assert (retrained.folder / "model.toml").read_text() == (COMMITTED / "model.toml").read_text()


def test_graph_predicts_what_scikit_learn_predicts(retrained: Retrained) -> None:
    """Scaling and encoding survive the conversion, on houses that were never trained on."""
    training = retrained.training
    rows = training.held_out.rows
    expected = train_housing.predict_prices(training.pipeline, rows)
    actual = train_housing.run_onnx((retrained.folder / "1/model.onnx").read_bytes(), rows)
    assert actual.shape == (len(rows),)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_golden_samples_are_what_the_committed_model_predicts() -> None:
    """The server checks these at every start."""
    golden = json.loads((COMMITTED / "1/golden.json").read_text())
    rows = np.array([[row[name] for name in COLUMNS] for row in golden["instances"]], dtype=object)
    actual = train_housing.run_onnx((COMMITTED / "1/model.onnx").read_bytes(), rows)
    np.testing.assert_allclose(actual, golden["predictions"], rtol=golden["relative_tolerance"])


def test_every_house_of_the_data_is_within_the_contract() -> None:
    """A range that refuses a real house would be a wrong range."""
    numbers = train_housing.load_houses().rows[:, : len(NUMERIC_FEATURES)].astype(np.float64)
    assert (numbers.min(axis=0) >= [feature.minimum for feature in NUMERIC_FEATURES]).all()
    assert (numbers.max(axis=0) <= [feature.maximum for feature in NUMERIC_FEATURES]).all()


def test_contract_names_the_graphs_inputs_and_output() -> None:
    """The contract and the graph cannot drift apart unseen."""
    graph = onnx.load(COMMITTED / "1/model.onnx").graph
    contract = tomllib.loads((COMMITTED / "model.toml").read_text())
    assert {tensor.name for tensor in graph.input} == {f["input"] for f in contract["features"]}
    assert [tensor.name for tensor in graph.output] == [o["name"] for o in contract["outputs"]]
    assert tuple(contract["example"]) == COLUMNS


def test_an_unknown_word_is_never_taken_for_no() -> None:
    """A row that slips past the contract gets no number at all."""
    row = train_housing.load_houses().rows[:1].copy()
    row[0, -1] = "perhaps"
    price = train_housing.run_onnx((COMMITTED / "1/model.onnx").read_bytes(), row)
    assert np.isnan(price).all()


def test_report_states_the_split_and_the_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person who runs the script reads how good the model is and on what."""
    train_housing.main(["--repository", str(tmp_path)])
    report = capsys.readouterr().out
    assert "Held out: 110 houses" in report
    assert all(name in report for name in ("MAE", "MAPE", "R2"))


def test_models_folder_is_small() -> None:
    """The repository that is cloned for the quick start stays light."""
    files = [path for path in COMMITTED.parent.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 300_000
