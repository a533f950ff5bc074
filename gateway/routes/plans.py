"""Create and read plans: the limits that tenants buy."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends

from auth.principal import Principal
from auth.scopes import PLANS_WRITE, TENANTS_READ
from gateway.bodies import body_of, request_body
from gateway.dependencies import Acting, Opened, Paged, require
from gateway.routes.responses import problem_responses
from gateway.schemas import NewPlan, PlanDocument, PlanPage

router = APIRouter(prefix="/v1/plans", tags=["plans"])

Reader = Annotated[Principal, Depends(require(TENANTS_READ, PLANS_WRITE))]
Writer = Annotated[Principal, Depends(require(PLANS_WRITE))]


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    operation_id="createPlan",
    openapi_extra=request_body(NewPlan),
    responses=problem_responses(413, 422),
)
async def create_plan(
    *,
    _caller: Writer,
    wish: Annotated[NewPlan, Depends(body_of(NewPlan))],
    opened: Opened,
    actor: Acting,
) -> PlanDocument:
    """Create a plan; a limit that is absent or null is no limit."""
    plan = await opened.store.create_plan(
        actor=actor,
        name=wish.name,
        requests_per_second=wish.requests_per_second,
        burst=wish.burst,
        units_per_month=wish.units_per_month,
        max_in_flight=wish.max_in_flight,
        weight=wish.weight,
    )
    return PlanDocument.of(plan)


@router.get("", operation_id="listPlans", responses=problem_responses(422))
async def list_plans(_caller: Reader, page: Paged, opened: Opened) -> PlanPage:
    """List the plans in the order of their ids."""
    plans = await opened.store.list_plans(after=page.after, limit=page.limit + 1)
    shown = [PlanDocument.of(plan) for plan in plans[: page.limit]]
    return PlanPage(data=shown, next=shown[-1].plan_id if len(plans) > page.limit else None)


@router.get("/{plan_id}", operation_id="getPlan", responses=problem_responses(404))
async def read_plan(_caller: Reader, plan_id: str, opened: Opened) -> PlanDocument:
    """Read a plan."""
    return PlanDocument.of(await opened.store.get_plan(plan_id))
