"""Create, read, change and delete tenants; for the platform only."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends

from auth.principal import Principal
from auth.scopes import TENANTS_READ, TENANTS_WRITE
from gateway.bodies import body_of, request_body
from gateway.dependencies import Acting, Opened, Paged, check_reach, require
from gateway.routes.responses import problem_responses
from gateway.schemas import NewTenant, TenantChange, TenantDocument, TenantPage

router = APIRouter(prefix="/v1/tenants", tags=["tenants"])

Reader = Annotated[Principal, Depends(require(TENANTS_READ))]
Writer = Annotated[Principal, Depends(require(TENANTS_WRITE))]


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    operation_id="createTenant",
    openapi_extra=request_body(NewTenant),
    responses=problem_responses(404, 413, 422),
)
async def create_tenant(
    *,
    _caller: Writer,
    wish: Annotated[NewTenant, Depends(body_of(NewTenant))],
    opened: Opened,
    actor: Acting,
) -> TenantDocument:
    """Create a tenant on a plan, with the models that it may use."""
    tenant = await opened.store.create_tenant(
        actor=actor, name=wish.name, plan_id=wish.plan_id, models=tuple(wish.models)
    )
    return TenantDocument.of(tenant)


@router.get("", operation_id="listTenants", responses=problem_responses(422))
async def list_tenants(_caller: Reader, page: Paged, opened: Opened) -> TenantPage:
    """List the tenants, deleted ones included, in the order of their ids."""
    tenants = await opened.store.list_tenants(after=page.after, limit=page.limit + 1)
    shown = [TenantDocument.of(tenant) for tenant in tenants[: page.limit]]
    return TenantPage(data=shown, next=shown[-1].tenant_id if len(tenants) > page.limit else None)


@router.get("/{tenant_id}", operation_id="getTenant", responses=problem_responses(404))
async def read_tenant(caller: Reader, tenant_id: str, opened: Opened) -> TenantDocument:
    """Read a tenant; of one that was deleted this is all that is left, beside its usage."""
    check_reach(caller, tenant_id)
    return TenantDocument.of(await opened.store.get_tenant(tenant_id))


@router.patch(
    "/{tenant_id}",
    operation_id="changeTenant",
    openapi_extra=request_body(TenantChange),
    responses=problem_responses(404, 413, 422),
)
async def change_tenant(
    *,
    caller: Writer,
    tenant_id: str,
    change: Annotated[TenantChange, Depends(body_of(TenantChange))],
    opened: Opened,
    actor: Acting,
) -> TenantDocument:
    """Suspend or reactivate a tenant, move it to another plan, or change the models it may use.

    A suspended tenant's keys are refused from the next request on.
    """
    check_reach(caller, tenant_id)
    tenant = await opened.store.update_tenant(
        tenant_id,
        actor=actor,
        status=change.status,
        plan_id=change.plan_id,
        models=None if change.models is None else tuple(change.models),
    )
    return TenantDocument.of(tenant)


@router.delete(
    "/{tenant_id}",
    status_code=HTTPStatus.NO_CONTENT,
    operation_id="deleteTenant",
    responses=problem_responses(404, 422),
)
async def delete_tenant(*, caller: Writer, tenant_id: str, opened: Opened, actor: Acting) -> None:
    """Delete a tenant for good; its credentials are unknown from the next request on.

    Its usage stays on the bill. The platform itself cannot be deleted.
    """
    check_reach(caller, tenant_id)
    await opened.store.delete_tenant(tenant_id, actor=actor)
