"""Name what is measured: the rows of the table, and the bodies that are sent."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from benchmarks import conv_model, heavy_model, image_model, oip_messages
from benchmarks.bare_app import CATEGORICAL, NUMERIC

MODELS = Path(__file__).parents[1] / "examples/models"
_GOLDEN = MODELS / "housing/1/golden.json"

Protocol: TypeAlias = Literal["V1", "OIP JSON", "OIP binary", "OIP gRPC"]


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table."""

    name: str
    connections: int
    rows: int
    model: str = "housing"
    protocol: Protocol = "V1"

    @property
    def path(self) -> str:
        """Name the URL path that is asked."""
        if self.protocol != "V1":
            return f"/v2/models/{self.model}/infer"
        return f"/v1/models/{self.model}:predict"


CASES = (
    Case("c1", connections=1, rows=1),
    Case("c16", connections=16, rows=1),
    Case("c64", connections=64, rows=1),
    Case("rows32", connections=16, rows=32),
    Case("rows256", connections=16, rows=256),
    Case("json1", connections=1, rows=1, protocol="OIP JSON"),
    Case("json64", connections=64, rows=1, protocol="OIP JSON"),
    Case("binary1", connections=1, rows=1, protocol="OIP binary"),
    Case("binary64", connections=64, rows=1, protocol="OIP binary"),
    Case("grpc1", connections=1, rows=1, protocol="OIP gRPC"),
    Case("grpc64", connections=64, rows=1, protocol="OIP gRPC"),
    Case("image-json1", connections=1, rows=1, model=image_model.NAME, protocol="OIP JSON"),
    Case("image-json16", connections=16, rows=1, model=image_model.NAME, protocol="OIP JSON"),
    Case("image-binary1", connections=1, rows=1, model=image_model.NAME, protocol="OIP binary"),
    Case("image-binary16", connections=16, rows=1, model=image_model.NAME, protocol="OIP binary"),
    Case("image-grpc1", connections=1, rows=1, model=image_model.NAME, protocol="OIP gRPC"),
    Case("image-grpc16", connections=16, rows=1, model=image_model.NAME, protocol="OIP gRPC"),
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
    json_bytes: int | None = None
    """How much of the content is JSON where binary tensors follow."""


def build_body(case: Case) -> Body:
    """Repeat the golden samples of the model until there are enough rows."""
    if case.model == heavy_model.NAME:
        row = [index / heavy_model.INPUT_WIDTH for index in range(heavy_model.INPUT_WIDTH)]
        return Body(_encode([row] * case.rows), case.rows, None)
    if case.model == conv_model.NAME:
        channels, height, width = conv_model.INPUT_SHAPE
        image = [[[0.01 * column] * width for column in range(height)]] * channels
        return Body(_encode([image] * case.rows), case.rows, None)
    if case.model == image_model.NAME:
        images = image_model.build_images(case.rows)
        return _tensor_body(case, {"pixels": images}, images.mean(axis=1).tolist())
    return _housing_body(case)


def _housing_body(case: Case) -> Body:
    golden = json.loads(_GOLDEN.read_text())
    instances, predictions = golden["instances"], golden["predictions"]
    picks = [row % len(instances) for row in range(case.rows)]
    rows, expected = [instances[pick] for pick in picks], [predictions[pick] for pick in picks]
    if case.protocol == "V1":
        return Body(_encode(rows), case.rows, expected)
    numeric = [[row[name] for name in NUMERIC] for row in rows]
    categorical = [[row[name] for name in CATEGORICAL] for row in rows]
    tensors = {
        "numeric": np.array(numeric, dtype=np.float32),
        "categorical": np.array(categorical, dtype=object),
    }
    return _tensor_body(case, tensors, expected)


def _tensor_body(case: Case, tensors: oip_messages.Tensors, expected: list[float]) -> Body:
    """Write tensors as the protocol of the case does."""
    if case.protocol == "OIP JSON":
        return Body(oip_messages.json_request(tensors), case.rows, expected)
    if case.protocol == "OIP gRPC":
        return Body(oip_messages.grpc_request(case.model, tensors), case.rows, expected)
    content, json_bytes = oip_messages.binary_request(tensors)
    return Body(content, case.rows, expected, json_bytes)


def _encode(instances: list[object]) -> bytes:
    return json.dumps({"instances": instances}, separators=(",", ":")).encode()
