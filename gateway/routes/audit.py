"""Answer what was changed and by whom: to tenants about themselves, to the platform about all."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from auth.errors import TenantNotFound
from auth.principal import Principal
from auth.scopes import AUDIT_READ
from gateway.audit_documents import AuditPage, AuditQuery, audit_page
from gateway.dependencies import Opened, require
from gateway.routes.responses import problem_responses

router = APIRouter(prefix="/v1/audit", tags=["audit"])

Reader = Annotated[Principal, Depends(require(AUDIT_READ))]


@router.get("", operation_id="listAudit", responses=problem_responses(404, 422))
async def list_audit(
    caller: Reader, query: Annotated[AuditQuery, Query()], opened: Opened
) -> AuditPage:
    """List changes in their order: of the caller's tenant, or of every one for the platform.

    The numbers count the changes of all tenants, so a tenant's own have gaps. Of a change that the
    platform made, a tenant is told no more of who it was.
    """
    wish = query.wish(_within_reach(caller, query.tenant_id))
    entries = await opened.store.list_entries(wish, after=query.after, limit=query.limit + 1)
    return audit_page(entries, caller, limit=query.limit)


def _within_reach(caller: Principal, tenant_id: str | None) -> str | None:
    """Narrow a wish to what the caller may see.

    Raises:
        TenantNotFound: the tenant is not the caller's, or nobody's: the same answer.
    """
    if caller.is_platform:
        return tenant_id
    if tenant_id not in (None, caller.tenant_id):
        raise TenantNotFound
    return caller.tenant_id
