"""Answer what was used, to tenants about themselves and to billing scripts about everybody."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from auth.errors import TenantNotFound
from auth.principal import Principal
from auth.scopes import USAGE_READ, USAGE_READ_ALL
from gateway.dependencies import Opened, require
from gateway.moments import MomentText
from gateway.report_query import (
    GROUP_BY_PATTERN,
    ReportWish,
    UsageDocument,
    read_wish,
    usage_document,
)
from gateway.routes.responses import problem_responses
from gateway.services import Services
from gateway.usage.pieces import Bucket
from gateway.usage.reports import usage_report

router = APIRouter(prefix="/v1/usage", tags=["usage"])

Reader = Annotated[Principal, Depends(require(USAGE_READ, USAGE_READ_ALL))]


class ReportParameters(BaseModel):
    """The query of a report.

    Threat: a misspelt `from` that nobody looks at would bill another range than was meant, so a
    parameter that is not known is refused.
    """

    model_config = ConfigDict(extra="forbid")

    start: Annotated[MomentText | None, Field(alias="from", description="First moment")] = None
    end: Annotated[MomentText | None, Field(alias="to", description="First moment not counted")] = (
        None
    )
    bucket: Annotated[Bucket, Field(description="Parts of the range, in UTC")] = "day"
    group_by: Annotated[
        str | None,
        Field(max_length=40, pattern=GROUP_BY_PATTERN, description="Comma list of model, key"),
    ] = None
    tenant_id: Annotated[
        str | None, Field(max_length=64, description="Only this tenant; for `usage:read:all`")
    ] = None

    def wish(self) -> ReportWish:
        """Say what is wished for."""
        return ReportWish(**self.model_dump())


@router.get(
    "",
    operation_id="getUsage",
    response_model_exclude_unset=True,
    responses=problem_responses(404, 422),
)
async def read_usage(
    caller: Reader, parameters: Annotated[ReportParameters, Query()], opened: Opened
) -> UsageDocument:
    """Read requests, rows and units of a half-open range, by default of the current month (UTC).

    The server delivers what it has served before it answers. Use of test keys is not counted.
    With `usage:read:all` the report is about every tenant, or about `tenant_id`, and
    `group_by` also knows `tenant`; else it is about the caller's own tenant.
    """
    query = read_wish(await _within_reach(opened, caller, parameters.wish()), now=datetime.now(UTC))
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
