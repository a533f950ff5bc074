"""`tollgate tenants`: create, list, show, change and delete tenants."""

from typing import Annotated, Literal

import typer

from auth.actor import command
from auth.errors import InvalidChange
from auth.store import Store
from auth.tenants import Tenant
from gateway.cli.console import Json, comma_list, show, show_json, show_list
from gateway.cli.records import MAX_PAGE_ITEMS, ask_store, read_all
from gateway.schemas import TenantDocument

commands = typer.Typer(
    help="Create, list, show, change and delete tenants: the customers.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_COLUMNS = ("tenant_id", "status", "plan_id", "models", "name")

TenantId = Annotated[
    str, typer.Argument(metavar="TENANT_ID", help="Id of the tenant, as `tenants list` shows it.")
]


def register(program: typer.Typer) -> None:
    """Add the commands."""
    program.add_typer(commands, name="tenants")


@commands.command("create")
def create_tenant(
    *,
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the tenant, for people.")],
    plan: Annotated[str, typer.Option(metavar="PLAN_ID", help="Id of the plan that it bought.")],
    models: Annotated[
        str, typer.Option(metavar="MODELS", help="Comma list of models, or * for all.")
    ] = "*",
    as_json: Json = False,
) -> None:
    """Create a tenant on a plan.

    Example: tollgate tenants create --name Acme --plan plan_4fX0bQ2mZr8sT1Yk --models housing
    """

    async def create(store: Store) -> Tenant:
        return await store.create_tenant(
            actor=command(), name=name, plan_id=plan, models=comma_list(models) or ()
        )

    show(TenantDocument.of(ask_store(create)), as_json=as_json)


@commands.command("list")
def list_tenants(*, as_json: Json = False) -> None:
    """List all tenants."""

    async def read(store: Store) -> list[Tenant]:
        return await read_all(
            lambda after: store.list_tenants(after=after, limit=MAX_PAGE_ITEMS),
            lambda tenant: tenant.tenant_id,
        )

    documents = [TenantDocument.of(tenant) for tenant in ask_store(read)]
    show_list(documents, columns=_COLUMNS, as_json=as_json)


@commands.command("show")
def show_tenant(*, tenant_id: TenantId, as_json: Json = False) -> None:
    """Show one tenant."""
    tenant = ask_store(lambda store: store.get_tenant(tenant_id))
    show(TenantDocument.of(tenant), as_json=as_json)


@commands.command("update")
def update_tenant(
    *,
    tenant_id: TenantId,
    status: Annotated[
        Literal["active", "suspended"] | None,
        typer.Option(help="A suspended tenant's keys are refused from the next request on."),
    ] = None,
    plan: Annotated[str | None, typer.Option(metavar="PLAN_ID", help="Id of the new plan.")] = None,
    models: Annotated[
        str | None, typer.Option(metavar="MODELS", help="Comma list of models, or * for all.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Change a tenant; what is not named stays as it is.

    Example: tollgate tenants update ten_8hT3kQzW0aB5cD7e --status suspended
    """
    if status is None and plan is None and models is None:
        raise InvalidChange("name at least one of --status, --plan and --models", "change")

    async def change(store: Store) -> Tenant:
        return await store.update_tenant(
            tenant_id,
            actor=command(),
            status=status,
            plan_id=plan,
            models=comma_list(models),
        )

    show(TenantDocument.of(ask_store(change)), as_json=as_json)


@commands.command("delete")
def delete_tenant(*, tenant_id: TenantId, as_json: Json = False) -> None:
    """Delete a tenant for good; its keys are refused from the next request on.

    Its usage stays on the bill. Nothing brings the tenant back.
    """
    ask_store(lambda store: store.delete_tenant(tenant_id, actor=command()))
    if as_json:
        show_json({"tenant_id": tenant_id, "deleted": True})
    else:
        typer.echo(f"{tenant_id} is deleted")
