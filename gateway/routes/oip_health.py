"""Say to clients of the Open Inference Protocol, without a credential, whether the server serves.

Source: Open Inference Protocol 2, "Health".
"""

from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from gateway.dependencies import Opened
from gateway.routes.health import reasons_against

router = APIRouter(prefix="/v2/health", tags=["open inference protocol"])

NOT_READY = "the server is not ready"


class LiveDocument(BaseModel):
    """The process answers."""

    live: bool = True


class ServerReadyDocument(BaseModel):
    """Whether predictions can be served; `error` is what clients show."""

    ready: bool
    error: str | None = None


@router.get("/live", operation_id="getInferenceLiveness")
async def read_liveness() -> LiveDocument:
    """Answer as long as the process can answer at all."""
    return LiveDocument()


@router.get(
    "/ready",
    operation_id="getInferenceReadiness",
    response_model_exclude_none=True,
    responses={503: {"model": ServerReadyDocument, "description": "Predictions go elsewhere"}},
)
async def read_readiness(
    opened: Opened, request: Request, response: Response
) -> ServerReadyDocument:
    """Answer 200 while predictions can be served, and 503 while they cannot."""
    if not reasons_against(opened, request):
        return ServerReadyDocument(ready=True)
    response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    return ServerReadyDocument(ready=False, error=NOT_READY)
