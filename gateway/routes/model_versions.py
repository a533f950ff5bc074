"""Push, promote, roll back and withdraw versions of models."""

from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query
from starlette.requests import Request

from auth.principal import Principal
from auth.scopes import MODELS_WRITE
from gateway.bodies import body_of, chunks_of, request_body
from gateway.dependencies import Acting, Opened, Unqueried, require
from gateway.models.records import CHAMPION
from gateway.models.staging import staged
from gateway.models.uploads import ARCHIVE, BARE, receive
from gateway.routes.responses import problem_responses
from gateway.version_schemas import (
    LabelDocument,
    Promotion,
    PushQuery,
    VersionDocument,
    VersionList,
)
from inference.errors import ModelNotFound

router = APIRouter(prefix="/v1/models/{model}", tags=["models"])

Writer = Annotated[Principal, Depends(require(MODELS_WRITE))]
NewName = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$")]
NewVersion = Annotated[str, Path(pattern=r"^[1-9][0-9]{0,17}$")]

_UPLOAD: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "A tar archive of model.onnx, and of golden.json and model.toml where the "
        "version has them; or the bytes of model.onnx alone",
        "content": {
            media_type: {"schema": {"type": "string", "format": "binary"}}
            for media_type in (ARCHIVE, BARE)
        },
    }
}


@router.get("/versions", operation_id="listModelVersions", responses=problem_responses(404))
async def list_versions(
    *, caller: Writer, _query: Unqueried, model: str, opened: Opened
) -> VersionList:
    """List every version of a model, withdrawn and refused ones too."""
    _check_reach(caller, model)
    book = await opened.models.read_book(model)
    if not book.versions:
        raise ModelNotFound(model)
    return VersionList.of(book)


@router.put(
    "/versions/{version}",
    status_code=HTTPStatus.CREATED,
    operation_id="pushModelVersion",
    openapi_extra=_UPLOAD,
    responses=problem_responses(404, 409, 413, 415, 422),
)
async def push_version(
    *,
    caller: Writer,
    model: NewName,
    version: NewVersion,
    query: Annotated[PushQuery, Query()],
    request: Request,
    opened: Opened,
    actor: Acting,
) -> VersionDocument:
    """Vet a version, and serve it under its number once every worker has it in memory.

    What answers where no version is named stays the same until somebody promotes another.
    """
    _check_reach(caller, model)
    settings = opened.settings
    with staged(settings.model_repository, model, version) as path:
        await receive(
            chunks_of(request),
            path,
            media_type=request.headers.get("content-type", ""),
            max_bytes=settings.max_upload_bytes,
        )
        record = await opened.publisher.push(path, actor=actor, force=query.force)
    return VersionDocument.of(record, await opened.models.read_book(model))


@router.delete(
    "/versions/{version}",
    status_code=HTTPStatus.NO_CONTENT,
    operation_id="retireModelVersion",
    responses=problem_responses(404, 409),
)
async def retire_version(
    *, caller: Writer, model: str, version: str, opened: Opened, actor: Acting
) -> None:
    """Withdraw a version; its files stay, and pushing them again brings it back."""
    _check_reach(caller, model)
    await opened.publisher.retire(model, version, actor=actor)


@router.post(
    "/promote",
    operation_id="promoteModelVersion",
    openapi_extra=request_body(Promotion),
    responses=problem_responses(404, 409, 413, 422),
)
async def promote_version(
    *,
    caller: Writer,
    model: str,
    wish: Annotated[Promotion, Depends(body_of(Promotion))],
    opened: Opened,
    actor: Acting,
) -> LabelDocument:
    """Let a version answer where none is named, on every worker from the same moment."""
    _check_reach(caller, model)
    label = await opened.publisher.promote(model, wish.version, actor=actor, force=wish.force)
    return LabelDocument.of(label)


@router.post("/rollback", operation_id="rollBackModel", responses=problem_responses(404, 409))
async def roll_back(*, caller: Writer, model: str, opened: Opened, actor: Acting) -> LabelDocument:
    """Let the version answer again that answered before the last promotion."""
    _check_reach(caller, model)
    return LabelDocument.of(await opened.publisher.roll_back(model, label=CHAMPION, actor=actor))


@router.put(
    "/labels/{label}",
    operation_id="setModelLabel",
    openapi_extra=request_body(Promotion),
    responses=problem_responses(404, 409, 413, 422),
)
async def set_label(
    *,
    caller: Writer,
    model: str,
    label: str,
    wish: Annotated[Promotion, Depends(body_of(Promotion))],
    opened: Opened,
    actor: Acting,
) -> LabelDocument:
    """Let a label stand for a version, on every worker from the same moment."""
    _check_reach(caller, model)
    record = await opened.publisher.promote(
        model, wish.version, label=label, actor=actor, force=wish.force
    )
    return LabelDocument.of(record)


@router.delete(
    "/labels/{label}",
    status_code=HTTPStatus.NO_CONTENT,
    operation_id="removeModelLabel",
    responses=problem_responses(404),
)
async def remove_label(
    *, caller: Writer, model: str, label: str, opened: Opened, actor: Acting
) -> None:
    """Take a label away; the version that it stood for stays."""
    _check_reach(caller, model)
    await opened.models.remove_label(model, label, actor=actor)


def _check_reach(caller: Principal, model: str) -> None:
    """Pass if the caller's credential is not bound to other models.

    Raises:
        ModelNotFound: it is.
    """
    if not caller.may_use(model):
        raise ModelNotFound(model)
