"""List the model repository to clients of the Open Inference Protocol.

Source: Triton, "Model Repository Extension".
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from auth.principal import Principal
from auth.scopes import MODELS_READ, PREDICT
from gateway.dataplane.json_document import parse_strict
from gateway.dependencies import Opened, require
from gateway.errors import RequestInvalid
from gateway.oip_documents import IndexEntry, index_entry
from gateway.routes.responses import problem_responses

router = APIRouter(prefix="/v2/repository", tags=["open inference protocol"])

Reader = Annotated[Principal, Depends(require(MODELS_READ, PREDICT))]
_SCHEMA = {
    "type": "object",
    "properties": {"ready": {"type": "boolean", "description": "List only what is ready"}},
}
_BODY: dict[str, Any] = {
    "requestBody": {"required": False, "content": {"application/json": {"schema": _SCHEMA}}}
}


@router.post(
    "/index",
    operation_id="listRepository",
    responses=problem_responses(413),
    openapi_extra=_BODY,
)
async def list_repository(caller: Reader, opened: Opened, request: Request) -> list[IndexEntry]:
    """List every version of the models that the caller may use, ready or not."""
    only_ready = _only_ready(await request.body())
    return [
        index_entry(status)
        for status in opened.registry.statuses()
        if caller.may_use(status.name) and (status.is_ready or not only_ready)
    ]


def _only_ready(body: bytes) -> bool:
    """Read the body, which real clients leave empty, whatever they say of its type.

    Raises:
        JsonInvalid: it is no JSON document.
        RequestInvalid: it is no object, or `ready` is no truth value.
    """
    document = parse_strict(body) if body else {}
    if not isinstance(document, dict) or not isinstance(document.get("ready", False), bool):
        raise RequestInvalid("the body must be an object, and ready true or false")
    return bool(document.get("ready", False))
