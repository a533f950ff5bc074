"""Describe inference requests of the Open Inference Protocol, typed for each model.

JSON Schema cannot say that data has as many elements as its shape asks for, so the document tells
of requests of as few rows as the model takes; more rows are as good.
"""

import math
from typing import Any

from gateway.dataplane.oip_request import MAX_ID_CHARACTERS
from inference.registry import ModelVersion
from inference.signature import VARIABLE, TensorSpec
from inference.tensor_json import BINARY_ONLY

Document = dict[str, Any]

_BINARY = (
    "Tensors may follow the JSON as bytes: `Inference-Header-Content-Length` then tells how many"
    " bytes are JSON, and each such input has `parameters.binary_data_size` and no `data`."
    " `parameters.binary_data_output` asks for outputs in that form."
)
_TENSOR: Document = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {
        "name": {"type": "string"},
        "datatype": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "data": {"type": "array"},
        "parameters": {"type": "object"},
    },
}


def infer_operation(model: ModelVersion) -> Document:
    """Describe one version's `infer`, but for its problems and who may ask."""
    content: Document = {"schema": _request_schema(model)}
    example = _example(model)
    if example is not None:
        content["example"] = example
    return {
        "tags": ["open inference protocol"],
        "summary": f"Infer with {model.name}",
        "description": " ".join(filter(None, (model.description, _BINARY))),
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {
            "200": {
                "description": "The outputs, in the order in which they were asked for.",
                "content": {"application/json": {"schema": _answer_schema()}},
            }
        },
    }


def _request_schema(model: ModelVersion) -> Document:
    inputs = [_input_schema(model, spec) for spec in model.signature.inputs]
    names = [spec.name for spec in model.signature.outputs]
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": ["string", "null"], "maxLength": MAX_ID_CHARACTERS},
            "inputs": {
                "type": "array",
                "prefixItems": inputs,
                "items": False,
                "minItems": len(inputs),
                "maxItems": len(inputs),
            },
            "outputs": {
                "type": ["array", "null"],
                "maxItems": 1,
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {"name": {"enum": names}},
                },
            },
        },
    }


def _input_schema(model: ModelVersion, spec: TensorSpec) -> Document:
    shape = _least_shape(spec)
    count = math.prod(shape)
    elements = model.contract.element_json_schemas(spec)
    data: Document = {"type": "array", "minItems": count, "maxItems": count}
    if len(elements) == 1:
        data["items"] = elements[0]
    else:
        data |= {"prefixItems": elements * (count // len(elements)), "items": False}
    return {
        "type": "object",
        "required": ["name", "datatype", "shape", "data"],
        "properties": {
            "name": {"const": spec.name},
            "datatype": {"const": spec.datatype},
            "shape": {"const": shape},
            "data": data,
        },
    }


def _least_shape(spec: TensorSpec) -> list[int]:
    return [1 if size == VARIABLE else size for size in spec.shape]


def _answer_schema() -> Document:
    return {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "outputs": {"type": "array", "items": _TENSOR},
        },
    }


def _example(model: ModelVersion) -> Document | None:
    """Make a body that `infer` takes as it stands; None where no example is known."""
    row = model.contract.example_row
    if row is None or any(spec.datatype in BINARY_ONLY for spec in model.signature.inputs):
        return None
    tensors = model.contract.rows_to_tensors([row] * model.contract.fewest_rows)
    return {
        "inputs": [
            {
                "name": spec.name,
                "datatype": spec.datatype,
                "shape": list(tensors[spec.name].shape),
                "data": tensors[spec.name].ravel().tolist(),
            }
            for spec in model.signature.inputs
        ]
    }
