"""`tollgate plans`: create, list and show plans."""

from typing import Annotated

import typer

from auth.actor import command
from auth.store import Store
from auth.tenants import Plan
from gateway.cli.console import Json, show, show_list
from gateway.cli.records import MAX_PAGE_ITEMS, ask_store, read_all
from gateway.schemas import PlanDocument

commands = typer.Typer(
    help="Create, list and show plans: the limits that tenants buy.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_COLUMNS = (
    "plan_id",
    "requests_per_second",
    "burst",
    "units_per_month",
    "max_in_flight",
    "weight",
    "name",
)

PlanId = Annotated[
    str, typer.Argument(metavar="PLAN_ID", help="Id of the plan, as `plans list` shows it.")
]


def register(program: typer.Typer) -> None:
    """Add the commands."""
    program.add_typer(commands, name="plans")


@commands.command("create")
def create_plan(
    *,
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the plan, for people.")],
    requests_per_second: Annotated[
        float | None,
        typer.Option(metavar="RATE", help="Steady rate of each key; absent: no limit."),
    ] = None,
    burst: Annotated[
        int | None, typer.Option(metavar="REQUESTS", help="Requests at once before the rate binds.")
    ] = None,
    units_per_month: Annotated[
        int | None,
        typer.Option(metavar="UNITS", help="Units in a calendar month (UTC); absent: no limit."),
    ] = None,
    max_in_flight: Annotated[
        int | None,
        typer.Option(
            metavar="REQUESTS", help="Requests of a tenant at the same time; absent: no limit."
        ),
    ] = None,
    weight: Annotated[
        int,
        typer.Option(
            metavar="WEIGHT", help="Share of a model's time beside others who wait for it."
        ),
    ] = 1,
    as_json: Json = False,
) -> None:
    """Create a plan.

    Example: tollgate plans create --name starter --requests-per-second 50 --units-per-month 100000
    """

    async def create(store: Store) -> Plan:
        return await store.create_plan(
            actor=command(),
            name=name,
            requests_per_second=requests_per_second,
            burst=burst,
            units_per_month=units_per_month,
            max_in_flight=max_in_flight,
            weight=weight,
        )

    show(PlanDocument.of(ask_store(create)), as_json=as_json)


@commands.command("list")
def list_plans(*, as_json: Json = False) -> None:
    """List all plans."""

    async def read(store: Store) -> list[Plan]:
        return await read_all(
            lambda after: store.list_plans(after=after, limit=MAX_PAGE_ITEMS),
            lambda plan: plan.plan_id,
        )

    documents = [PlanDocument.of(plan) for plan in ask_store(read)]
    show_list(documents, columns=_COLUMNS, as_json=as_json)


@commands.command("show")
def show_plan(*, plan_id: PlanId, as_json: Json = False) -> None:
    """Show one plan."""
    plan = ask_store(lambda store: store.get_plan(plan_id))
    show(PlanDocument.of(plan), as_json=as_json)
