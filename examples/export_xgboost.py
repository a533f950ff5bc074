"""Train XGBoost and export it as a version of a model: `export_xgboost.py --repository DIR`.

It needs xgboost, onnxmltools and scikit-learn, for the data. The golden samples are what XGBoost
itself predicts, so that the server compares the export with it at every start.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from onnxmltools import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from xgboost import XGBClassifier

NAME = "tumours-xgboost"
OPSET = 15
GOLDEN_ROWS = 20


def main() -> None:
    """Train, export and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repository", type=Path, required=True)
    folder = parser.parse_args().repository / NAME / "1"

    rows, kinds = load_breast_cancer(return_X_y=True)
    training, held_out, wanted, truth = train_test_split(
        rows.astype(np.float32), kinds, test_size=0.2, random_state=0
    )
    model = XGBClassifier(n_estimators=50, max_depth=3, random_state=0).fit(training, wanted)
    print(f"accuracy on {len(truth)} held-out rows: {model.score(held_out, truth):.3f}")

    # None is the number of rows: only then can requests of several callers share a run.
    inputs = [("features", FloatTensorType([None, rows.shape[1]]))]
    graph = convert_xgboost(model, initial_types=inputs, target_opset=OPSET)

    samples = held_out[:GOLDEN_ROWS]
    predictions = zip(model.predict(samples), model.predict_proba(samples), strict=True)
    golden = {
        "instances": samples.tolist(),
        "predictions": [
            {graph.graph.output[0].name: int(label), graph.graph.output[1].name: odds.tolist()}
            for label, odds in predictions
        ],
        "relative_tolerance": 1e-4,
    }
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    (folder / "golden.json").write_text(json.dumps(golden))
    print(f"wrote {folder}")


if __name__ == "__main__":
    main()
