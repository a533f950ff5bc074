"""Tell a tenant where it stands, and the platform where each of them does."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends

from auth.principal import Principal
from auth.scopes import USAGE_READ, USAGE_READ_ALL
from gateway.dependencies import Opened, Unqueried, check_reach, require
from gateway.routes.responses import problem_responses
from gateway.standing_document import LimitsDocument, month_of
from gateway.usage.reports import usage_report

router = APIRouter(prefix="/v1/tenants/{tenant_id}/limits", tags=["usage"])

Reader = Annotated[Principal, Depends(require(USAGE_READ, USAGE_READ_ALL))]


@router.get("", operation_id="getLimits", responses=problem_responses(404, 422))
async def read_limits(
    *, caller: Reader, tenant_id: str, _query: Unqueried, opened: Opened
) -> LimitsDocument:
    """Read a tenant's limits, and the units of its month that are used and left.

    The server delivers what it has served before it answers. With `usage:read:all` it may be any
    tenant, else the caller's own.
    """
    check_reach(caller, tenant_id)
    if tenant_id != caller.tenant_id:
        caller.require(USAGE_READ_ALL)
    plan = await opened.store.get_plan_of(tenant_id)
    now = datetime.now(UTC)
    await opened.shipper.ship()
    report = await usage_report(opened.engine, month_of(tenant_id, now=now))
    return LimitsDocument.of(tenant_id, plan, report, now=now)
