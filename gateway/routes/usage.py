"""Answer what was used, to tenants about themselves and to billing scripts about everybody."""

import contextlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from auth.errors import TenantNotFound
from auth.principal import Principal
from auth.scopes import USAGE_READ, USAGE_READ_ALL
from gateway.dependencies import Opened, require
from gateway.moments import MomentText
from gateway.reading.answer import Answer
from gateway.reading.columns import report_cells, report_columns
from gateway.reading.forms import JSON_FORM
from gateway.reading.standing import read_standing
from gateway.report_query import (
    GROUP_BY_PATTERN,
    ReportWish,
    UsageDocument,
    read_wish,
    usage_document,
)
from gateway.routes.responses import problem_responses, table_responses
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
    response_model=UsageDocument,
    responses=problem_responses(404, 406, 422) | table_responses(),
)
async def read_usage(
    caller: Reader,
    parameters: Annotated[ReportParameters, Query()],
    opened: Opened,
    *,
    request: Request,
) -> Response:
    """Read requests, rows and units of a half-open range, by default of the current month (UTC).

    The server delivers what it has served before it answers. Use of test keys is not counted.
    With `usage:read:all` the report is about every tenant, or about `tenant_id`, and
    `group_by` also knows `tenant`; else it is about the caller's own tenant.
    """
    wish = parameters.wish()
    reach = await within_reach(opened, caller, wish.tenant_id)
    if reach is not None:
        wish = wish.about(reach)
    if "tenant" in wish.group_names:
        caller.require(USAGE_READ_ALL)
    query = read_wish(wish, now=datetime.now(UTC))
    columns = report_columns(query.group_by)
    answer = Answer(request, columns, folder=opened.settings.data_dir)
    with contextlib.ExitStack() as unfinished:
        unfinished.callback(answer.close)
        await opened.shipper.ship()
        standing = await read_standing(opened.engine, query.start_us, query.end_us)
        report = await usage_report(opened.engine, query)
        standing = replace(standing, complete_through_us=report.complete_through_us)
        document = usage_document(query, report, period_state=standing.period_state)
        if answer.form is JSON_FORM:
            body = document.model_dump_json(exclude_unset=True).encode()
            response = await answer.finish_with(body, standing.headers())
        else:
            await answer.add(report_cells(document, columns))
            response = await answer.finish({}, standing.headers())
        unfinished.pop_all()
    return response


async def within_reach(opened: Services, caller: Principal, tenant_id: str | None) -> str | None:
    """Narrow a wish for a tenant to what the caller may see; None is every tenant.

    Threat: a tenant that names another's id would read others' business.

    Raises:
        TenantNotFound: the tenant is not the caller's, or nobody's: the same answer.
    """
    if USAGE_READ_ALL in caller.scopes:
        if tenant_id is not None:
            await opened.store.get_tenant(tenant_id)
        return tenant_id
    if tenant_id not in (None, caller.tenant_id):
        raise TenantNotFound
    return caller.tenant_id
