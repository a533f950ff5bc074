"""Take reports of leaked secrets from whoever found one, such as a secret scanner."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Request

from auth.actor import anonymous
from gateway.bodies import body_of, request_body
from gateway.dependencies import Opened
from gateway.leaks import LeakReport, revoke_leaked
from gateway.routes.responses import public_responses

router = APIRouter(prefix="/v1/keys:report-leak", tags=["keys"])


@router.post(
    "",
    status_code=HTTPStatus.NO_CONTENT,
    operation_id="reportLeak",
    openapi_extra=request_body(LeakReport),
    responses=public_responses(400, 413, 422, 429, 503),
)
async def report_leak(
    *,
    request: Request,
    report: Annotated[LeakReport, Depends(body_of(LeakReport))],
    opened: Opened,
) -> None:
    """Revoke a secret that was found where it should not be; no credential is needed.

    A key, a client secret or a session token that works is revoked at once, with the whole key or
    client that it belongs to. The answer is the same whatever was sent.

    Threat: an answer that told a good secret from a bad one would be a place to try secrets; this
    one tells less than any other operation, and what it does to a good one needs the secret.
    """
    actor = anonymous(request_id=request.state.request_id)
    await revoke_leaked(opened, report.api_key.get_secret_value(), actor=actor)
