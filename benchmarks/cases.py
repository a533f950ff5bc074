"""Name what is measured: the rows of the table, and the bodies that are sent."""

import json
from dataclasses import dataclass
from pathlib import Path

from benchmarks import conv_model, heavy_model

MODELS = Path(__file__).parents[1] / "examples/models"
_GOLDEN = MODELS / "housing/1/golden.json"


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table."""

    name: str
    connections: int
    rows: int
    model: str = "housing"

    @property
    def path(self) -> str:
        """Name the URL path that is asked."""
        return f"/v1/models/{self.model}:predict"


CASES = (
    Case("c1", connections=1, rows=1),
    Case("c16", connections=16, rows=1),
    Case("c64", connections=64, rows=1),
    Case("rows32", connections=16, rows=32),
    Case("rows256", connections=16, rows=256),
    Case("heavy1", connections=1, rows=1, model=heavy_model.NAME),
    Case("heavy", connections=64, rows=1, model=heavy_model.NAME),
    Case("conv1", connections=1, rows=1, model=conv_model.NAME),
    Case("conv16", connections=16, rows=1, model=conv_model.NAME),
    Case("conv64", connections=64, rows=1, model=conv_model.NAME),
)


@dataclass(frozen=True, slots=True)
class Body:
    """A request and the predictions that it must get; none where the weights are random."""

    content: bytes
    rows: int
    predictions: list[float] | None


def build_body(case: Case) -> Body:
    """Repeat the golden samples of the model until there are enough rows."""
    if case.model == heavy_model.NAME:
        row = [index / heavy_model.INPUT_WIDTH for index in range(heavy_model.INPUT_WIDTH)]
        return Body(_encode([row] * case.rows), case.rows, None)
    if case.model == conv_model.NAME:
        channels, height, width = conv_model.INPUT_SHAPE
        image = [[[0.01 * column] * width for column in range(height)]] * channels
        return Body(_encode([image] * case.rows), case.rows, None)
    golden = json.loads(_GOLDEN.read_text())
    instances, predictions = golden["instances"], golden["predictions"]
    picks = [row % len(instances) for row in range(case.rows)]
    return Body(
        _encode([instances[pick] for pick in picks]),
        case.rows,
        [predictions[pick] for pick in picks],
    )


def _encode(instances: list[object]) -> bytes:
    return json.dumps({"instances": instances}, separators=(",", ":")).encode()
