"""Say whether the server lives and whether it can serve; the only operations without a caller."""

from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from gateway.dependencies import Opened
from gateway.services import Services

router = APIRouter(prefix="/healthz", tags=["health"])


class Liveness(BaseModel):
    """The process answers."""

    live: bool = True


class Readiness(BaseModel):
    """Whether traffic should come here, and why not."""

    ready: bool
    reasons: list[str] = []


@router.get("/live", operation_id="getLiveness")
async def read_liveness() -> Liveness:
    """Answer as long as the process can answer at all; restart it when this fails."""
    return Liveness()


@router.get(
    "/ready",
    operation_id="getReadiness",
    responses={503: {"model": Readiness, "description": "Not ready; the reasons are listed"}},
)
async def read_readiness(opened: Opened, request: Request, response: Response) -> Readiness:
    """Answer 200 while predictions can be served; send traffic elsewhere while it is 503."""
    reasons = reasons_against(opened, request)
    if reasons:
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    return Readiness(ready=not reasons, reasons=reasons)


def reasons_against(opened: Services, request: Request) -> list[str]:
    """Say why traffic should go elsewhere; empty where it should come here."""
    reasons = opened.not_ready_reasons()
    if getattr(request.state, "is_draining", False):
        reasons.append("this worker is ending")
    return reasons
