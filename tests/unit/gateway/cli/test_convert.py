"""`tollgate models convert` makes a version that can be served, and never reads a file unasked."""

import json
import tomllib
from pathlib import Path

import joblib
import numpy as np
import onnxruntime
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tests.unit.gateway.cli.terminal import Finished, Terminal

SAMPLES = "area,rooms,heating\n70,3,gas\n30,1,none\n55.5,2,gas\n"
_CODE = """
import os, socket
try:
    socket.create_connection(("127.0.0.1", 9), timeout=1)
    reached = "connected"
except ConnectionRefusedError:
    reached = "refused by a host"
except OSError:
    reached = "nowhere"
raise RuntimeError(f"reached {reached}, knows {sorted(os.environ)}")
"""


class Hostile:
    """A pickle that runs code when it is read."""

    def __init__(self, code: str) -> None:
        self._code = code

    def __reduce__(self) -> tuple[object, tuple[str]]:
        """Have the reader run it."""
        return exec, (self._code,)


def flats() -> Pipeline:
    """Fit a classifier of flats by two numbers and a word."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "area": rng.uniform(20, 100, 200),
            "rooms": rng.integers(1, 5, 200),
            "heating": rng.choice(["gas", "none"], 200),
        }
    )
    encoding = ColumnTransformer(
        [("numbers", StandardScaler(), ["area", "rooms"]), ("words", OneHotEncoder(), ["heating"])]
    )
    labels = np.where(table["area"] > 50, "dear", "cheap")
    return make_pipeline(encoding, LogisticRegression()).fit(table, labels)


def convert(terminal: Terminal, file: Path, *options: str, version: str = "flats/1") -> Finished:
    """Run the command on a file, with the repository beside it."""
    target = file.parent / "models" / version
    return terminal.run("models", "convert", str(file), str(target), *options)


def test_pipeline_of_numbers_and_words_becomes_a_version(
    terminal: Terminal, tmp_path: Path
) -> None:
    """The contract names the columns, and the samples say what scikit-learn predicts."""
    pipeline = flats()
    joblib.dump(pipeline, tmp_path / "flats.joblib")
    (tmp_path / "flats.csv").write_text(SAMPLES)
    options = ("--trust", "--text", "heating", "--samples", str(tmp_path / "flats.csv"))
    done = convert(terminal, tmp_path / "flats.joblib", *options)
    assert (done.status, done.out.splitlines()[-1]) == (
        0,
        "The graph predicts the 3 samples as scikit-learn does.",
    )
    folder = tmp_path / "models" / "flats"
    contract = tomllib.loads((folder / "1" / "model.toml").read_text())
    assert [feature["name"] for feature in contract["features"]] == ["area", "rooms", "heating"]
    golden = json.loads((folder / "1" / "golden.json").read_text())
    expected = pipeline.predict(pd.DataFrame(golden["instances"])).tolist()
    assert [prediction["label"] for prediction in golden["predictions"]] == expected
    assert terminal.run("check", str(tmp_path / "models")).status == 0


def test_forest_of_numbers_has_one_input(terminal: Terminal, tmp_path: Path) -> None:
    """Without names the columns are numbered, and without samples that is said."""
    rng = np.random.default_rng(0)
    rows = rng.uniform(size=(100, 3)).astype(np.float32)
    forest = RandomForestRegressor(5, random_state=0).fit(rows, rows.sum(axis=1))
    joblib.dump(forest, tmp_path / "forest.joblib", compress=3)
    done = convert(terminal, tmp_path / "forest.joblib", "--trust")
    assert done.status == 0
    assert "Nothing shows" in done.out
    graph = (tmp_path / "models/flats/1/model.onnx").read_bytes()
    [actual] = onnxruntime.InferenceSession(graph).run(None, {"features": rows})
    np.testing.assert_allclose(actual[:, 0], forest.predict(rows), rtol=1e-5)


def test_nothing_is_read_without_trust(terminal: Terminal, tmp_path: Path) -> None:
    """The warning comes first, and loudly."""
    joblib.dump(Hostile(f"open({str(tmp_path / 'read')!r}, 'w')"), tmp_path / "flats.joblib")
    done = convert(terminal, tmp_path / "flats.joblib")
    assert done.status == 1
    assert "WARNING: a joblib file is a pickle" in done.err
    assert not (tmp_path / "read").exists()


def test_code_in_a_file_has_no_network_and_no_secrets(tmp_path: Path, terminal: Terminal) -> None:
    """It runs, and finds neither a host nor a variable of the server; nothing is written."""
    joblib.dump(Hostile(_CODE), tmp_path / "flats.joblib")
    knowing = Terminal({**terminal.settings, "TOLLGATE_SEALING_KEY": "s" * 40})
    done = convert(knowing, tmp_path / "flats.joblib", "--trust")
    assert done.status == 1
    assert "RuntimeError: reached nowhere" in done.err
    assert "TOLLGATE" not in done.err
    assert not (tmp_path / "models/flats/1").exists()


def test_what_is_no_estimator_is_refused(terminal: Terminal, tmp_path: Path) -> None:
    """In one line that says what it holds."""
    joblib.dump({"weights": [1.0]}, tmp_path / "flats.joblib")
    done = convert(terminal, tmp_path / "flats.joblib", "--trust")
    assert (done.status, done.err.splitlines()[-1]) == (
        1,
        "tollgate: flats: it holds a dict, no estimator that predicts",
    )


@pytest.mark.parametrize("version", ["flats", "flats/one", ".flats/1", "flats/01", "fl ats/1"])
def test_target_must_name_a_version(terminal: Terminal, tmp_path: Path, version: str) -> None:
    """REPOSITORY/NAME/NUMBER, as a server looks for it."""
    (tmp_path / "flats.joblib").write_bytes(b"")
    done = convert(terminal, tmp_path / "flats.joblib", "--trust", version=version)
    assert (done.status, done.err.count("is not REPOSITORY/NAME/NUMBER")) == (1, 1)


def test_version_that_is_there_is_not_changed(terminal: Terminal, tmp_path: Path) -> None:
    """Customers may be using it."""
    (tmp_path / "models/flats/1").mkdir(parents=True)
    (tmp_path / "flats.joblib").write_bytes(b"")
    done = convert(terminal, tmp_path / "flats.joblib", "--trust")
    assert (done.status, done.err.count("is there already")) == (1, 1)


def test_samples_with_words_for_numbers_are_refused(terminal: Terminal, tmp_path: Path) -> None:
    """Before anything is read, with the option that says which columns are text."""
    (tmp_path / "flats.joblib").write_bytes(b"")
    (tmp_path / "flats.csv").write_text(SAMPLES)
    options = ("--trust", "--samples", str(tmp_path / "flats.csv"))
    done = convert(terminal, tmp_path / "flats.joblib", *options)
    assert (done.status, done.err.count("--text")) == (1, 1)
