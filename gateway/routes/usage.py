"""Answer what was used, to tenants about themselves and to billing scripts about everybody."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from auth.errors import TenantNotFound
from auth.principal import Principal
from auth.scopes import USAGE_READ, USAGE_READ_ALL
from gateway.dependencies import Opened, require
from gateway.report_query import (
    GROUP_BY_PATTERN,
    ReportWish,
    UsageDocument,
    read_wish,
    usage_document,
)
from gateway.routes.responses import problem_responses
from gateway.services import Services
from gateway.usage.reports import Bucket, usage_report

router = APIRouter(prefix="/v1/usage", tags=["usage"])

Reader = Annotated[Principal, Depends(require(USAGE_READ, USAGE_READ_ALL))]
_MOMENT = "a date or an RFC 3339 moment"


async def report_wish(
    *,
    start: Annotated[
        str | None,
        Query(alias="from", max_length=40, description=f"First moment: {_MOMENT}"),
    ] = None,
    end: Annotated[
        str | None,
        Query(alias="to", max_length=40, description=f"First moment not counted: {_MOMENT}"),
    ] = None,
    bucket: Annotated[Bucket, Query(description="Parts of the range, in UTC")] = "day",
    group_by: Annotated[
        str | None,
        Query(max_length=40, pattern=GROUP_BY_PATTERN, description="Comma list of model, key"),
    ] = None,
    tenant_id: Annotated[
        str | None, Query(max_length=64, description="Only this tenant; for `usage:read:all`")
    ] = None,
) -> ReportWish:
    """Read the query of a report."""
    return ReportWish(start=start, end=end, bucket=bucket, group_by=group_by, tenant_id=tenant_id)


@router.get(
    "",
    operation_id="getUsage",
    response_model_exclude_unset=True,
    responses=problem_responses(404, 422),
)
async def read_usage(
    caller: Reader, wish: Annotated[ReportWish, Depends(report_wish)], opened: Opened
) -> UsageDocument:
    """Read requests, rows and units of a half-open range, by default of the current month (UTC).

    The server delivers what it has served before it answers. Use of test keys is not counted.
    With `usage:read:all` the report is about every tenant, or about `tenant_id`, and
    `group_by` also knows `tenant`; else it is about the caller's own tenant.
    """
    query = read_wish(await _within_reach(opened, caller, wish), now=datetime.now(UTC))
    await opened.shipper.ship()
    return usage_document(query, await usage_report(opened.engine, query))


async def _within_reach(opened: Services, caller: Principal, wish: ReportWish) -> ReportWish:
    """Narrow a wish to what the caller may see.

    Threat: a tenant that names another's id, or groups by tenant, would read others' business.

    Raises:
        TenantNotFound: the tenant is not the caller's, or nobody's: the same answer.
        ScopeMissing: the report would be about more than the caller's tenant.
    """
    if USAGE_READ_ALL in caller.scopes:
        if wish.tenant_id is not None:
            await opened.store.get_tenant(wish.tenant_id)
        return wish
    if wish.tenant_id not in (None, caller.tenant_id):
        raise TenantNotFound
    if "tenant" in wish.group_names:
        caller.require(USAGE_READ_ALL)
    return wish.about(caller.tenant_id)
