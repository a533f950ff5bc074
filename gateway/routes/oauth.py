"""Answer OAuth2 clients: tokens, their revocation and introspection.

These doors take no bearer credential: a client proves itself in the request (RFC 6749 section 2.3).
"""

from http import HTTPStatus
from typing import Annotated, Final, NamedTuple

from fastapi import APIRouter, Depends, Request, Response

from auth.principal import Principal
from gateway.dependencies import Opened
from gateway.oauth_form import Form, read_form
from gateway.oauth_schemas import (
    IntrospectionDocument,
    TokenDocument,
    client_responses,
    token_question,
    token_request,
)
from gateway.observability.exchange import Exchange

router = APIRouter(prefix="/oauth2", tags=["oauth2"])

_NEVER_KEPT: Final = {"cache-control": "no-store", "pragma": "no-cache"}


class Asked(NamedTuple):
    """A client that proved itself, and what it sent."""

    client: Principal
    form: Form
    request_id: str


async def asked(request: Request, opened: Opened) -> Asked:
    """Read the form, and let the client prove itself by it.

    Raises:
        TokenError: it did not; see `TokenServer.authenticate`.
    """
    form = await read_form(request)
    client = await opened.token_server.authenticate(request.scope, form)
    exchange: Exchange = request.state.exchange
    exchange.principal = client
    return Asked(client, form, exchange.request_id)


ByClient = Annotated[Asked, Depends(asked)]


@router.post(
    "/token",
    operation_id="issueToken",
    openapi_extra=token_request(),
    responses=client_responses(),
)
async def issue_token(*, asked: ByClient, opened: Opened, response: Response) -> TokenDocument:
    """Give a client an access token (RFC 6749 section 4.4), for as long as `expires_in` says."""
    issued = opened.token_server.issue(asked.client, asked.form)
    response.headers.update(_NEVER_KEPT)
    return TokenDocument(
        access_token=issued.text,
        token_type="Bearer",  # noqa: S106 - the name of a type
        expires_in=issued.claims.expires_at - issued.claims.issued_at,
        scope=" ".join(sorted(issued.claims.scopes)),
    )


@router.post(
    "/revoke",
    operation_id="revokeToken",
    response_class=Response,
    openapi_extra=token_question(),
    responses=client_responses(),
)
async def revoke_token(*, asked: ByClient, opened: Opened) -> Response:
    """Revoke a token of the client (RFC 7009): no request that starts after the answer is accepted.

    A token that is not the client's, or no token at all, gets the same answer and is left alone.
    """
    await opened.token_server.revoke(asked.client, asked.form, request_id=asked.request_id)
    return Response(status_code=HTTPStatus.OK, headers=_NEVER_KEPT)


@router.post(
    "/introspect",
    operation_id="introspectToken",
    openapi_extra=token_question(),
    responses=client_responses(),
    response_model_exclude_none=True,
)
async def introspect_token(
    *, asked: ByClient, opened: Opened, response: Response
) -> IntrospectionDocument:
    """Tell what a token is good for (RFC 7662): to a client of its tenant, or of the platform."""
    told = opened.token_server.introspect(asked.client, asked.form)
    response.headers.update(_NEVER_KEPT)
    return IntrospectionDocument.model_validate(told)
