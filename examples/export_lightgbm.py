"""Train LightGBM and export it as a version of a model: `export_lightgbm.py --repository DIR`.

It needs lightgbm, onnxmltools and scikit-learn, for the data. The golden samples are what LightGBM
itself predicts, so that the server compares the export with it at every start.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from lightgbm import LGBMRegressor
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

NAME = "diabetes-lightgbm"
OPSET = 15
GOLDEN_ROWS = 20


def main() -> None:
    """Train, export and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repository", type=Path, required=True)
    folder = parser.parse_args().repository / NAME / "1"

    rows, progress = load_diabetes(return_X_y=True)
    training, held_out, wanted, truth = train_test_split(
        rows.astype(np.float32), progress, test_size=0.2, random_state=0
    )
    model = LGBMRegressor(n_estimators=50, num_leaves=7, random_state=0, verbose=-1)
    model.fit(training, wanted)
    print(f"R2 on {len(truth)} held-out rows: {model.score(held_out, truth):.3f}")

    # None is the number of rows: only then can requests of several callers share a run.
    inputs = [("features", FloatTensorType([None, rows.shape[1]]))]
    graph = convert_lightgbm(model, initial_types=inputs, target_opset=OPSET)

    samples = held_out[:GOLDEN_ROWS]
    golden = {
        "instances": samples.tolist(),
        "predictions": [[value] for value in model.predict(samples).tolist()],
        "relative_tolerance": 1e-4,
    }
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    (folder / "golden.json").write_text(json.dumps(golden))
    print(f"wrote {folder}")


if __name__ == "__main__":
    main()
