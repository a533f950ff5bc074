"""Issue, read, rotate and revoke a tenant's API keys.

A tenant manages its own keys and no others; the platform manages everybody's.
"""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends

from auth.bindings import Bindings
from auth.principal import Principal
from auth.scopes import KEYS_READ, KEYS_WRITE
from gateway.bodies import body_of, request_body
from gateway.dependencies import Acting, Opened, Paged, check_reach, require
from gateway.routes.responses import problem_responses
from gateway.schemas import IssuedKeyDocument, KeyDocument, KeyPage, KeyRotation, NewKey

router = APIRouter(prefix="/v1/tenants/{tenant_id}/keys", tags=["keys"])

Reader = Annotated[Principal, Depends(require(KEYS_READ))]
Writer = Annotated[Principal, Depends(require(KEYS_WRITE))]


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    operation_id="createKey",
    openapi_extra=request_body(NewKey),
    responses=problem_responses(404, 413, 422),
)
async def create_key(
    *,
    caller: Writer,
    tenant_id: str,
    wish: Annotated[NewKey, Depends(body_of(NewKey))],
    opened: Opened,
    actor: Acting,
) -> IssuedKeyDocument:
    """Issue a key; `api_key` is shown this once.

    A caller grants no scope, model or network that it may not use itself.
    """
    check_reach(caller, tenant_id)
    bindings = wish.bindings.checked()
    caller.require_grantable(wish.scopes, bindings)
    if wish.test:
        caller.require_may_issue_test_keys()
    issued = await opened.store.create_key(
        tenant_id,
        actor=actor,
        name=wish.name,
        scopes=tuple(wish.scopes),
        expires_at=wish.expires_at,
        is_test=wish.test,
        requests_per_second=wish.limits.requests_per_second,
        burst=wish.limits.burst,
        may_exceed_plan=caller.is_platform,
        bindings=bindings,
    )
    return IssuedKeyDocument.of_issued(issued)


@router.get("", operation_id="listKeys", responses=problem_responses(404, 422))
async def list_keys(*, caller: Reader, tenant_id: str, page: Paged, opened: Opened) -> KeyPage:
    """List a tenant's keys, revoked ones included, in the order of their ids."""
    check_reach(caller, tenant_id)
    keys = await opened.store.list_keys(tenant_id, after=page.after, limit=page.limit + 1)
    shown = [KeyDocument.of(key) for key in keys[: page.limit]]
    return KeyPage(data=shown, next=shown[-1].key_id if len(keys) > page.limit else None)


@router.get("/{key_id}", operation_id="getKey", responses=problem_responses(404))
async def read_key(*, caller: Reader, tenant_id: str, key_id: str, opened: Opened) -> KeyDocument:
    """Read a key, without its secret."""
    check_reach(caller, tenant_id)
    return KeyDocument.of(await opened.store.get_key(tenant_id, key_id))


@router.delete(
    "/{key_id}",
    status_code=HTTPStatus.NO_CONTENT,
    operation_id="revokeKey",
    responses=problem_responses(404),
)
async def revoke_key(
    *, caller: Writer, tenant_id: str, key_id: str, opened: Opened, actor: Acting
) -> None:
    """Revoke a key for good; no request that starts after the answer is accepted."""
    check_reach(caller, tenant_id)
    await opened.store.revoke_key(tenant_id, key_id, actor=actor)


@router.post(
    "/{key_id}/rotate",
    status_code=HTTPStatus.CREATED,
    operation_id="rotateKey",
    openapi_extra=request_body(KeyRotation),
    responses=problem_responses(404, 409, 413, 422),
)
async def rotate_key(
    *,
    caller: Writer,
    tenant_id: str,
    key_id: str,
    rotation: Annotated[KeyRotation, Depends(body_of(KeyRotation))],
    opened: Opened,
    actor: Acting,
) -> IssuedKeyDocument:
    """Give a key a new secret; the old ones work for `overlap_seconds` more.

    Threat: the new secret carries all scopes of the key and its bindings, so a caller with fewer
    scopes, or one that is bound to less, would gain them.
    """
    check_reach(caller, tenant_id)
    key = await opened.store.get_key(tenant_id, key_id)
    caller.require_grantable(key.scopes, Bindings(key.models, key.networks))
    issued = await opened.store.rotate_key(
        tenant_id, key_id, actor=actor, overlap_seconds=rotation.overlap_seconds
    )
    return IssuedKeyDocument.of_issued(issued)
