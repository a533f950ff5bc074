"""List the model repository to clients of the Open Inference Protocol, and load and unload models.

Source: Triton, "Model Repository Extension".
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel

from auth.principal import Principal
from auth.scopes import MODELS_READ, MODELS_WRITE, PREDICT
from gateway.dataplane.json_document import parse_strict
from gateway.dependencies import Acting, Opened, require
from gateway.errors import RequestInvalid
from gateway.oip_documents import IndexEntry, index_entry
from gateway.routes.responses import problem_responses
from inference.errors import ModelNotFound

router = APIRouter(prefix="/v2/repository", tags=["open inference protocol"])

Reader = Annotated[Principal, Depends(require(MODELS_READ, PREDICT))]
Writer = Annotated[Principal, Depends(require(MODELS_WRITE))]
_SCHEMA = {
    "type": "object",
    "properties": {"ready": {"type": "boolean", "description": "List only what is ready"}},
}
_BODY: dict[str, Any] = {
    "requestBody": {"required": False, "content": {"application/json": {"schema": _SCHEMA}}}
}
_UNSERVED = ("config", "file:")
_PARAMETERS = {
    "type": "object",
    "properties": {"parameters": {"type": "object", "description": "Of no effect here"}},
}
_CHANGE_BODY: dict[str, Any] = {
    "requestBody": {"required": False, "content": {"application/json": {"schema": _PARAMETERS}}}
}


class Done(BaseModel):
    """The change is made; there is no more to say of it."""


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


@router.post(
    "/models/{model}/load",
    operation_id="loadModel",
    responses=problem_responses(404, 413),
    openapi_extra=_CHANGE_BODY,
)
async def load_model(
    *, caller: Writer, model: str, opened: Opened, actor: Acting, request: Request
) -> Done:
    """Serve a model of the repository again, all its versions that were not retired."""
    _check_change(caller, model, await request.body())
    await opened.publisher.load(model, actor=actor)
    return Done()


@router.post(
    "/models/{model}/unload",
    operation_id="unloadModel",
    responses=problem_responses(404, 413),
    openapi_extra=_CHANGE_BODY,
)
async def unload_model(
    *, caller: Writer, model: str, opened: Opened, actor: Acting, request: Request
) -> Done:
    """Take a model out of service; requests that it has are answered."""
    _check_change(caller, model, await request.body())
    await opened.publisher.unload(model, actor=actor)
    return Done()


def _check_change(caller: Principal, model: str, body: bytes) -> None:
    """Pass if the caller may change the model, and asks for nothing that is not served.

    Raises:
        ModelNotFound: the model is not granted.
        JsonInvalid: the body is no JSON document.
        RequestInvalid: it is no object, or brings a configuration or files along.
    """
    if not caller.may_use(model):
        raise ModelNotFound(model)
    document = parse_strict(body) if body else {}
    parameters = document.get("parameters", {}) if isinstance(document, dict) else None
    if not isinstance(parameters, dict):
        raise RequestInvalid("the body must be an object, and so its parameters")
    if any(name.startswith(_UNSERVED) for name in parameters):
        raise RequestInvalid("a model is loaded as it lies in the repository")


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
