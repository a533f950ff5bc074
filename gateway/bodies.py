"""Read the control plane's request bodies: bounded, strict, and only after the caller is known.

FastAPI parses a body before it asks the dependencies, so a stranger could make it work and would
be told about JSON rather than about credentials. Here the body is a dependency as well, listed
after the one that authenticates. FastAPI cannot see it then, so `request_body` documents it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from gateway.dataplane.json_document import parse_strict
from gateway.errors import BodyTooLarge, ClientDisconnected

MAX_CONTROL_BODY_BYTES = 64 * 1024

Body = TypeVar("Body", bound=BaseModel)
JsonSchema = dict[str, Any]


def body_of(model: type[Body]) -> Callable[[Request], Awaitable[Body]]:
    """Make the dependency that reads the body; list it after the one that authenticates."""

    async def read(request: Request) -> Body:
        return parse_body(await read_bounded(request, max_bytes=MAX_CONTROL_BODY_BYTES), model)

    return read


def parse_body(body: bytes, model: type[Body]) -> Body:
    """Parse a body by its schema.

    Threat: JSON with a member twice is read differently by two programs; half surrogate pairs and
    huge numbers break whoever writes the value down later.

    Raises:
        JsonInvalid: not one JSON document.
        RequestValidationError: a document that the schema refuses.
    """
    parse_strict(body)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError(
            [{**item, "loc": ("body", *item["loc"])} for item in found]
        ) from None


def request_body(model: type[BaseModel]) -> JsonSchema:
    """Describe a body for `openapi_extra`, with nested schemas written out in place."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _inlined(schema, definitions)}},
        }
    }


async def read_bounded(request: Request, *, max_bytes: int) -> bytes:
    """Read a body.

    Raises:
        BodyTooLarge: it is over the cap.
        ClientDisconnected: nobody sends the rest.
    """
    body = bytearray()
    async for chunk in chunks_of(request):
        body += chunk
        if len(body) > max_bytes:
            raise BodyTooLarge(max_bytes)
    return bytes(body)


async def chunks_of(request: Request) -> AsyncIterator[bytes]:
    """Read a body piece by piece.

    Raises:
        ClientDisconnected: nobody sends the rest.
    """
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect:
        raise ClientDisconnected from None


def _inlined(node: Any, definitions: JsonSchema) -> Any:  # noqa: ANN401 - a JSON Schema is any JSON
    if isinstance(node, list):
        return [_inlined(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    reference = node.get("$ref")
    if isinstance(reference, str):
        return _inlined(definitions[reference.rpartition("/")[2]], definitions)
    return {name: _inlined(value, definitions) for name, value in node.items()}
