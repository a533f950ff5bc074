"""Make, read, rotate and revoke a tenant's OAuth2 clients.

A tenant manages its own clients and no others; the platform manages everybody's. Whoever may issue
keys may make clients: both are credentials of the tenant, with scopes of their own.
"""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends

from auth.bindings import Bindings
from auth.principal import Principal
from auth.scopes import KEYS_READ, KEYS_WRITE
from gateway.bodies import body_of, request_body
from gateway.client_schemas import (
    ClientDocument,
    ClientPage,
    ClientRotation,
    IssuedClientDocument,
    JsonWebKeySet,
    NewClient,
)
from gateway.dependencies import Acting, Opened, Paged, check_reach, require
from gateway.routes.responses import problem_responses

router = APIRouter(prefix="/v1/tenants/{tenant_id}/clients", tags=["clients"])

Reader = Annotated[Principal, Depends(require(KEYS_READ))]
Writer = Annotated[Principal, Depends(require(KEYS_WRITE))]


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    operation_id="createClient",
    openapi_extra=request_body(NewClient),
    responses=problem_responses(404, 413, 422),
)
async def create_client(
    *,
    caller: Writer,
    tenant_id: str,
    wish: Annotated[NewClient, Depends(body_of(NewClient))],
    opened: Opened,
    actor: Acting,
) -> IssuedClientDocument:
    """Make a client; `client_secret` is shown this once.

    A caller grants no scope, model or network that it may not use itself.
    """
    check_reach(caller, tenant_id)
    bindings = wish.bindings.checked()
    caller.require_grantable(wish.scopes, bindings)
    issued = await opened.store.create_client(
        tenant_id,
        actor=actor,
        name=wish.name,
        scopes=tuple(wish.scopes),
        jwks=_document(wish.jwks),
        expires_at=wish.expires_at,
        requests_per_second=wish.limits.requests_per_second,
        burst=wish.limits.burst,
        may_exceed_plan=caller.is_platform,
        bindings=bindings,
    )
    return IssuedClientDocument.of_issued(issued)


@router.get("", operation_id="listClients", responses=problem_responses(404, 422))
async def list_clients(
    *, caller: Reader, tenant_id: str, page: Paged, opened: Opened
) -> ClientPage:
    """List a tenant's clients, revoked ones included, in the order of their ids."""
    check_reach(caller, tenant_id)
    clients = await opened.store.list_clients(tenant_id, after=page.after, limit=page.limit + 1)
    shown = [ClientDocument.of(client) for client in clients[: page.limit]]
    return ClientPage(data=shown, next=shown[-1].client_id if len(clients) > page.limit else None)


@router.get("/{client_id}", operation_id="getClient", responses=problem_responses(404))
async def read_client(
    *, caller: Reader, tenant_id: str, client_id: str, opened: Opened
) -> ClientDocument:
    """Read a client, without its secret."""
    check_reach(caller, tenant_id)
    return ClientDocument.of(await opened.store.get_client(tenant_id, client_id))


@router.delete(
    "/{client_id}",
    status_code=HTTPStatus.NO_CONTENT,
    operation_id="revokeClient",
    responses=problem_responses(404),
)
async def revoke_client(
    *, caller: Writer, tenant_id: str, client_id: str, opened: Opened, actor: Acting
) -> None:
    """Revoke a client for good; no request with a token of it that starts now is accepted."""
    check_reach(caller, tenant_id)
    await opened.store.revoke_client(tenant_id, client_id, actor=actor)


@router.post(
    "/{client_id}/rotate",
    status_code=HTTPStatus.CREATED,
    operation_id="rotateClient",
    openapi_extra=request_body(ClientRotation),
    responses=problem_responses(404, 409, 413, 422),
)
async def rotate_client(
    *,
    caller: Writer,
    tenant_id: str,
    client_id: str,
    rotation: Annotated[ClientRotation, Depends(body_of(ClientRotation))],
    opened: Opened,
    actor: Acting,
) -> IssuedClientDocument:
    """Give a client a new secret, or new keys; the old ones work for `overlap_seconds` more.

    Threat: the new secret opens all scopes of the client, so a caller with fewer would gain them.
    """
    check_reach(caller, tenant_id)
    client = await opened.store.get_client(tenant_id, client_id)
    caller.require_grantable(client.scopes, Bindings(client.models, client.networks))
    issued = await opened.store.rotate_client(
        tenant_id,
        client_id,
        actor=actor,
        overlap_seconds=rotation.overlap_seconds,
        jwks=_document(rotation.jwks),
    )
    return IssuedClientDocument.of_issued(issued)


def _document(jwks: JsonWebKeySet | None) -> dict[str, object] | None:
    return None if jwks is None else jwks.model_dump()
