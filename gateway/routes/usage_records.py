"""Answer the records of the ledger one by one, to tenants about themselves and to billing."""

import contextlib
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from auth.scopes import USAGE_READ_ALL
from gateway.dependencies import Opened
from gateway.reading.answer import Answer
from gateway.reading.columns import RECORD_COLUMNS
from gateway.reading.cursors import Cursors
from gateway.reading.pages import end_cursor, read_bounds, write_page
from gateway.reading.record_query import MAX_LIMIT, PATH, RecordPage, RecordQuery
from gateway.reading.standing import read_standing
from gateway.routes.responses import problem_responses, table_responses
from gateway.routes.usage import Reader, within_reach
from gateway.services import Services
from gateway.usage.errors import UsageNotFound
from gateway.usage.reading import has_used

router = APIRouter(prefix=PATH, tags=["usage"])


@router.get(
    "",
    operation_id="listUsageRecords",
    response_model=RecordPage,
    responses=problem_responses(404, 406, 422) | table_responses(),
)
async def list_usage_records(
    caller: Reader, query: Annotated[RecordQuery, Query()], opened: Opened, *, request: Request
) -> Response:
    """Read records in the order of their commit, page by page, each once and none left out.

    `next` goes on where a page ends, today or later. `self` is exactly this page, also of one that
    was the last and not full: it reads as the same bytes whenever it is read, in each form.
    What changes meanwhile stands in the headers `Usage-Complete-Through` and `Usage-Period-State`.
    The range is that of `counted_at`, by default everything. A model or a credential that a tenant
    has never used is a 404.
    """
    wish = query.wish(await within_reach(opened, caller, query.tenant_id))
    if USAGE_READ_ALL not in caller.scopes:
        await _check_known(opened, caller.tenant_id, query)
    if query.limit > MAX_LIMIT:
        caller.require(USAGE_READ_ALL)
    cursors = Cursors(opened.gate.sealer, wish)
    bounds = read_bounds(query, cursors)
    answer = Answer(request, RECORD_COLUMNS, folder=opened.settings.data_dir)
    with contextlib.ExitStack() as unfinished:
        unfinished.callback(answer.close)
        await opened.shipper.ship()
        standing = await read_standing(opened.engine, wish.start_us, wish.end_us)
        written = await write_page(answer, opened.engine, wish, bounds=bounds, limit=query.limit)
        end = end_cursor(query, cursors, bounds, written=written)
        links = {"self": query.link(after=query.after, through=end), "next": end}
        behind = query.link(after=end, through=None)
        linked = {"Link": f'<{links["self"]}>; rel="self", <{behind}>; rel="next"'}
        response = await answer.finish(links, standing.headers() | linked)
        unfinished.pop_all()
    return response


async def _check_known(opened: Services, tenant_id: str, query: RecordQuery) -> None:
    """Pass if the tenant has ever used the model and the credential that it asks for.

    Threat: an empty page under the name of another tenant's key would repeat that name, and a
    cursor that is bound to it.

    Raises:
        UsageNotFound: it has not; they may not even exist.
    """
    if query.model is None and query.key_id is None:
        return
    await opened.shipper.ship()
    if not await has_used(opened.engine, tenant_id, model=query.model, key_id=query.key_id):
        raise UsageNotFound
