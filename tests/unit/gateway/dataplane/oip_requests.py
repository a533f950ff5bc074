"""Requests of the Open Inference Protocol and the models that they are for."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from gateway.dataplane.codec import Encoded
from gateway.dataplane.oip import DecodedInfer, OipCodec
from inference.registry import ModelVersion, Registry
from inference.settings import InferenceSettings
from tests.repositories import (
    parts_model,
    reciprocal_model,
    scaled_model,
    sum_model,
    write_manifest,
    write_model,
)
from tests.unit.inference.onnx_models import greeting_model, linear_model, model_of, tensor

NAMED = '[[features]]\nname = "amount"\ninput = "x"\ntype = "number"\nminimum = 0\n'
LABELLED = '[[outputs]]\nname = "y"\nlabels = ["low", "mid"]\n'


def half_model() -> bytes:
    """Hand through two numbers of half precision. Shape: x and y [rows, 2], FP16."""
    model = model_of(
        [helper.make_node("Identity", ["x"], ["y"])],
        [tensor("x", ["rows", 2], TensorProto.FLOAT16)],
        [tensor("y", ["rows", 2], TensorProto.FLOAT16)],
    )
    return bytes(model.SerializeToString())


@contextlib.contextmanager
def loaded_models(repository: Path) -> Iterator[Registry]:
    """Load a model for each form that tensors can have."""
    write_model(repository, "linear", linear_model())
    write_model(repository, "sum", sum_model())
    write_model(repository, "parts", parts_model())
    write_model(repository, "greeting", greeting_model())
    write_manifest(write_model(repository, "reciprocal", reciprocal_model()), "[example]\nx = 1\n")
    write_model(repository, "scaled", scaled_model(2))
    write_model(repository, "half", half_model())
    write_manifest(write_model(repository, "named", scaled_model(2)), NAMED)
    write_manifest(write_model(repository, "labelled", linear_model()), LABELLED)
    loaded = Registry.load(repository, InferenceSettings())
    try:
        yield loaded
    finally:
        loaded.close()


def floats(*values: float) -> bytes:
    """Write numbers of FP32."""
    return np.array(values, np.float32).tobytes()


def given_input(name: str, shape: list[int], **rest: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Describe an input of FP32."""
    return {"name": name, "shape": shape, "datatype": "FP32"} | rest


def binary(name: str, shape: list[int], size: int) -> dict[str, Any]:
    """Describe an input whose numbers stand behind the JSON."""
    return given_input(name, shape, parameters={"binary_data_size": size})


def decode(model: ModelVersion, document: object, *blobs: bytes) -> DecodedInfer:
    """Decode a request; with blobs in the binary form."""
    head = json.dumps(document).encode()
    codec = OipCodec(len(head) if blobs else None)
    return codec.decode(head + b"".join(blobs), model)


def answer(model: ModelVersion, document: object, *blobs: bytes) -> Encoded:
    """Decode a request, run it and encode the answer."""
    decoded = decode(model, document, *blobs)
    return OipCodec().encode(model.runtime.run(decoded.tensors), decoded, model)


def parts_of(encoded: Encoded) -> tuple[dict[str, Any], bytes]:
    """Cut an answer into its JSON and what follows."""
    headers = dict(encoded.headers)
    length = int(headers.get(b"inference-header-content-length", encoded.size))
    document: dict[str, Any] = json.loads(encoded.body[:length])
    return document, encoded.body[length:]


X = given_input("x", [2], data=[1, 2.5])
