"""Train a PyTorch net and export it as a version of a model: `export_pytorch.py --repository DIR`.

It needs torch, onnxscript, and scikit-learn for the data. The golden samples are what PyTorch
itself predicts, so that the server compares the export with it at every start.
"""

import argparse
import json
from pathlib import Path

import torch
from sklearn.datasets import load_iris
from torch import nn

NAME = "iris-pytorch"
GOLDEN_ROWS = 20
STEPS = 200


def main() -> None:
    """Train, export and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repository", type=Path, required=True)
    folder = parser.parse_args().repository / NAME / "1"

    torch.manual_seed(0)
    data = load_iris()
    rows = torch.tensor(data.data, dtype=torch.float32)
    kinds = torch.tensor(data.target)
    net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(STEPS):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(rows), kinds).backward()
        optimizer.step()
    # The server answers with what the graph says, so the softmax belongs into it.
    model = nn.Sequential(net, nn.Softmax(dim=1)).eval()

    folder.mkdir(parents=True)
    torch.onnx.export(
        model,
        (rows[:2],),
        folder / "model.onnx",
        input_names=["features"],
        output_names=["probabilities"],
        dynamic_shapes=({0: torch.export.Dim("rows")},),  # else no two callers could share a run
        dynamo=True,
        external_data=False,  # weights in a file beside the graph are refused by the server
    )
    samples = rows[:: len(rows) // GOLDEN_ROWS]
    with torch.no_grad():
        predictions = model(samples).tolist()
    golden = {
        "instances": samples.tolist(),
        "predictions": predictions,
        "relative_tolerance": 1e-4,
    }
    (folder / "golden.json").write_text(json.dumps(golden))
    print(f"wrote {folder}")


if __name__ == "__main__":
    main()
