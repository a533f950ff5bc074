"""Log in, list sessions and end them.

Logging in is the only operation on passwords that asks for no credential; what bounds it stands in
`gateway/log_ins.py`.
"""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request

from auth.actor import anonymous
from auth.errors import SessionNotFound
from auth.log_in import Claim
from auth.scopes import TENANTS_WRITE
from gateway.admin_access import AdminCaller, require_self_or
from gateway.admin_schemas import (
    NewSession,
    OpenedSessionDocument,
    SessionDocument,
    SessionPage,
)
from gateway.bodies import body_of, request_body
from gateway.dependencies import Acting, Opened, Paged, Unqueried
from gateway.routes.responses import problem_responses

router = APIRouter(prefix="/v1/sessions", tags=["admins"])

Caller = Annotated[AdminCaller, Depends(require_self_or(TENANTS_WRITE))]


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    operation_id="logIn",
    openapi_extra=request_body(NewSession),
    responses=problem_responses(413, 422),
)
async def log_in(
    *,
    request: Request,
    _no_query: Unqueried,
    wish: Annotated[NewSession, Depends(body_of(NewSession))],
    opened: Opened,
) -> OpenedSessionDocument:
    """Open a session with a password, and the code of the authenticator if there is one.

    Whatever is wrong gets the same 401. Send `device_token` with the next log-in: it keeps the
    failures of others from limiting this device.
    """
    claim = Claim(wish.username, wish.password.get_secret_value(), wish.totp)
    actor = anonymous(request_id=request.state.request_id)
    session = await opened.people.log_ins.open(
        request, claim, device_token=wish.device_token, actor=actor
    )
    return OpenedSessionDocument.of_opened(session)


@router.get("", operation_id="listSessions", responses=problem_responses(422))
async def list_sessions(*, caller: Caller, page: Paged, opened: Opened) -> SessionPage:
    """List one's own sessions, or with `tenants:write` everybody's, in the order of their ids."""
    sessions = await opened.store.list_sessions(
        admin_id=None if caller.may_administer else caller.admin_id,
        after=page.after,
        limit=page.limit + 1,
    )
    shown = [SessionDocument.of(session) for session in sessions[: page.limit]]
    return SessionPage(
        data=shown, next=shown[-1].session_id if len(sessions) > page.limit else None
    )


@router.delete(
    "/{session_id}",
    status_code=HTTPStatus.NO_CONTENT,
    operation_id="revokeSession",
    responses=problem_responses(404),
)
async def revoke_session(*, caller: Caller, session_id: str, opened: Opened, actor: Acting) -> None:
    """End a session: log out, or with `tenants:write` put anybody out."""
    session = await opened.store.get_session(session_id)
    if not caller.may_administer and not caller.is_admin(session.admin_id):
        raise SessionNotFound
    await opened.store.revoke_session(session_id, actor=actor)
