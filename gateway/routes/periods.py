"""Close months and read what they come to, and correct what was recorded: for the platform."""

import time
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Response

from auth.api_keys import random_base62
from auth.principal import Principal
from auth.scopes import USAGE_READ_ALL, USAGE_WRITE
from gateway.billing.documents import (
    CorrectionDocument,
    NewCorrection,
    PeriodDocument,
    PeriodPage,
    PeriodSummary,
)
from gateway.billing.period_store import PeriodStore
from gateway.bodies import body_of, request_body
from gateway.dependencies import Acting, Opened, Unqueried, require
from gateway.routes.responses import problem_responses
from gateway.services import Services
from gateway.usage.corrections import Correction
from gateway.usage.errors import PeriodWaits
from gateway.usage.period_records import (
    PeriodRecord,
    read_period,
    read_period_text,
    read_totals,
)
from gateway.usage.period_states import list_periods
from gateway.usage.periods import wall_clock_us

CLOSING_SECONDS: Final = 2.0
"""How long one request works on a month; whoever wants it closed asks again until it is."""

router = APIRouter(prefix="/v1/periods", tags=["usage"])
corrections = APIRouter(prefix="/v1/usage/corrections", tags=["usage"])

Reader = Annotated[Principal, Depends(require(USAGE_READ_ALL, USAGE_WRITE))]
Writer = Annotated[Principal, Depends(require(USAGE_WRITE))]


@router.get("", operation_id="listPeriods", responses=problem_responses())
async def read_periods(_caller: Reader, _query: Unqueried, opened: Opened) -> PeriodPage:
    """List the months, the earliest first: those that are closed, and the open ones after them."""
    records = await list_periods(opened.engine, now_us=wall_clock_us())
    return PeriodPage(data=[PeriodSummary.of(record) for record in records])


@router.get("/{period}", operation_id="getPeriod", responses=problem_responses(404))
async def read_one_period(
    *, _caller: Reader, _query: Unqueried, period: str, opened: Opened
) -> PeriodDocument:
    """Read a month (202611); a closed one has a statement, which never changes."""
    return await _told(opened, await read_period(opened.engine, read_period_text(period)))


@router.post(
    "/{period}/close",
    operation_id="closePeriod",
    responses={
        HTTPStatus.ACCEPTED: {"description": "It is closing: ask again", "model": PeriodDocument},
        **problem_responses(404, 409),
    },
)
async def close_period(
    *, _caller: Writer, period: str, opened: Opened, actor: Acting, response: Response
) -> PeriodDocument:
    """Close a month that is over, or go on closing it; once it is closed this changes nothing.

    While it is closing the answer is 202: journals that have not delivered all of the month stand
    in `waiting_for`, or its records are being hashed. Ask again until the answer is 200.
    """
    number = read_period_text(period)
    until = time.monotonic() + CLOSING_SECONDS
    await opened.shipper.ship()
    waiting: tuple[str, ...] = ()
    try:
        record = await opened.store.part(PeriodStore).close(
            number,
            actor=actor,
            on_lot=lambda _record, _link: None,
            may_go_on=lambda: time.monotonic() < until,
        )
    except PeriodWaits as error:
        waiting = error.journal_ids
        record = await read_period(opened.engine, number)
    if record.state != "closed":
        response.status_code = HTTPStatus.ACCEPTED
    return await _told(opened, record, waiting_for=waiting)


@corrections.post(
    "",
    status_code=HTTPStatus.CREATED,
    operation_id="createCorrection",
    openapi_extra=request_body(NewCorrection),
    responses=problem_responses(404, 409, 413, 422),
)
async def correct_usage(
    *,
    _caller: Writer,
    wish: Annotated[NewCorrection, Depends(body_of(NewCorrection))],
    opened: Opened,
    actor: Acting,
) -> CorrectionDocument:
    """Put a signed record on the bill of the open month that names the one it corrects.

    A correction with the same id, request, rows and units changes nothing and is answered alike.
    """
    correction = Correction(
        correction_id=wish.correction_id or new_correction_id(),
        request_id=wish.request_id,
        rows=wish.rows,
        units=wish.units,
    )
    await opened.shipper.ship()
    corrected = await opened.store.part(PeriodStore).correct(
        correction, reason=wish.reason, is_forced=wish.force, actor=actor
    )
    return CorrectionDocument.of(corrected)


def new_correction_id() -> str:
    """Make an id that no record has."""
    return f"cor_{random_base62(16)}"


async def _told(
    opened: Services, record: PeriodRecord, *, waiting_for: tuple[str, ...] = ()
) -> PeriodDocument:
    totals = await read_totals(opened.engine, record.period) if record.state == "closed" else {}
    return PeriodDocument.told(record, totals, waiting_for=waiting_for)
