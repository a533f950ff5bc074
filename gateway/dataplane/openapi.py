"""Add the prediction operations to the OpenAPI document, one typed operation for each model."""

from typing import Any

from fastapi import FastAPI

from auth.scopes import PREDICT
from gateway.dataplane.codecs import ARROW, CSV
from gateway.dataplane.openapi_infer import infer_operation
from gateway.model_documents import example_body
from inference.registry import ModelVersion, Registry

Document = dict[str, Any]

_PROBLEM_RESPONSES = {
    "400": "The body is not a request that the model takes.",
    "401": "No valid credential.",
    "403": "The credential lacks the scope `predict`, or its tenant is suspended.",
    "404": "There is no such model, or it is not granted to the tenant.",
    "409": "The first request with the idempotency key is running, or its answer was not kept.",
    "413": "The body or the number of rows is over the limit.",
    "415": "The body is compressed, or in a form that is not read here.",
    "422": "Values violate the model's contract; at most ten are named by row and feature. Or the "
    "idempotency key stands for another request.",
    "429": "A rate, a quota or the in-flight cap is reached; see `Retry-After`.",
    "503": "The queue is full or usage cannot be recorded; nothing was billed.",
    "504": "The deadline passed; nothing was billed.",
}
_PROBLEM_SCHEMA: Document = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "request_id", "error"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "request_id": {"type": "string"},
        "error": {"type": "string"},
        "errors": {"type": "array", "maxItems": 10, "items": {"type": "object"}},
    },
}
_TABLES: Document = {
    CSV: {"schema": {"type": "string", "description": "A header line, and one line for each row"}},
    ARROW: {"schema": {"type": "string", "format": "binary", "description": "Record batches"}},
}
"""What a table is beside JSON, as Content-Type and Accept say."""

_IDEMPOTENCY_KEY: Document = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": (
        "A name for this request, new for each. Sent again within 24 hours, it is answered as the"
        " first time (`Idempotency-Replayed: true`) and is billed once. In quotes it may hold any"
        " printable ASCII characters."
    ),
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": 255,
        "pattern": "^[A-Za-z0-9._~:/+=@-]+$",
    },
}
_SECURITY: list[Document] = [{"HTTPBearer": []}, {"APIKeyHeader": []}, {"OAuth2": [PREDICT]}]
_CLIENT_SECRET: Document = {
    "type": "http",
    "scheme": "basic",
    "description": "Id and secret of an OAuth2 client, for the token endpoint and its neighbours",
}


def install_openapi(app: FastAPI) -> None:
    """Make the app describe the models that its lifespan loaded, beside its own routes."""
    describe_routes = app.openapi

    def describe() -> Document:
        document = describe_routes()
        components = document.setdefault("components", {})
        components.setdefault("schemas", {})["Problem"] = _PROBLEM_SCHEMA
        components.setdefault("securitySchemes", {})["ClientSecretBasic"] = _CLIENT_SECRET
        registry: Registry | None = getattr(app.state, "registry", None)
        for model in [] if registry is None else registry.models():
            document["paths"].update(_operations(model, is_newest=_is_newest(model, registry)))
        return document

    app.openapi = describe  # type: ignore[method-assign]


def _is_newest(model: ModelVersion, registry: Registry | None) -> bool:
    return registry is not None and registry.resolve(model.name) is model


def _operations(model: ModelVersion, *, is_newest: bool) -> Document:
    """Describe one loaded version under its own path, and under the bare name if it serves that."""
    paths: Document = {}
    for verb, prefix, operation in (
        ("predict", f"/v1/models/{model.name}%s:predict", _operation(model)),
        ("infer", f"/v2/models/{model.name}%s/infer", _guarded(infer_operation(model))),
    ):
        name = f"{verb}_{model.name}"
        versioned = operation | {"operationId": f"{name}_v{model.version}"}
        paths[prefix % f"/versions/{model.version}"] = {"post": versioned}
        if is_newest:
            paths[prefix % ""] = {"post": operation | {"operationId": name}}
    return paths


def _operation(model: ModelVersion) -> Document:
    contract = model.contract
    request: Document = {
        "type": "object",
        "required": ["instances"],
        "additionalProperties": False,
        "properties": {
            "instances": {"type": "array", "minItems": 1, "items": contract.row_json_schema()},
            "signature_name": {"const": "serving_default"},
        },
    }
    answer: Document = {
        "type": "object",
        "required": ["predictions"],
        "properties": {
            "predictions": {"type": "array", "items": contract.prediction_json_schema()}
        },
    }
    content: Document = {"schema": request}
    example = example_body(model)
    if example is not None:
        content["example"] = example
    return _guarded(
        {
            "tags": ["predictions"],
            "summary": f"Predict with {model.name}",
            "description": model.description,
            "requestBody": {
                "required": True,
                "content": {"application/json": content} | (_TABLES if contract.table else {}),
            },
            "responses": {
                "200": {
                    "description": "One prediction for each row, in the order of the rows.",
                    "content": {"application/json": {"schema": answer}} | _TABLES,
                },
            },
        }
    )


def _guarded(operation: Document) -> Document:
    """Add to a prediction's operation who may ask, and what every prediction may be refused for."""
    problems = {status: _problem(text) for status, text in _PROBLEM_RESPONSES.items()}
    return operation | {
        "security": _SECURITY,
        "parameters": [_IDEMPOTENCY_KEY],
        "responses": operation["responses"] | problems,
    }


def _problem(text: str) -> Document:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": text, "content": {"application/problem+json": {"schema": schema}}}
