"""`tollgate keys`: issue, list, show, rotate and revoke API keys."""

from datetime import datetime
from typing import Annotated

import typer

from auth.actor import command
from auth.bindings import Bindings
from auth.scopes import ALL_SCOPES, TENANT_SCOPES
from auth.store import Store
from auth.tenants import PLATFORM_TENANT_ID, ApiKey, IssuedKey
from gateway.cli.console import Json, comma_list, show, show_json, show_list
from gateway.cli.records import MAX_PAGE_ITEMS, ask_store, read_all
from gateway.moments import parse_moment
from gateway.schemas import IssuedKeyDocument, KeyDocument

commands = typer.Typer(
    help="Issue, list, show, rotate and revoke API keys. The tenant `platform` holds admins' keys.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_COLUMNS = ("key_id", "test", "expires_at", "revoked_at", "last_used_at", "scopes", "name")
_EVERY_SCOPE = "all"

TenantId = Annotated[
    str, typer.Argument(metavar="TENANT_ID", help="Id of the tenant, or `platform`.")
]
KeyId = Annotated[
    str, typer.Argument(metavar="KEY_ID", help="Public id of the key, as `keys list` shows it.")
]

BoundModels = Annotated[
    str | None, typer.Option(metavar="MODELS", help="Comma list: of the tenant's only these.")
]
BoundNetworks = Annotated[
    str | None, typer.Option(metavar="NETWORKS", help="Comma list of CIDR: works from these only.")
]


def register(program: typer.Typer) -> None:
    """Add the commands."""
    program.add_typer(commands, name="keys")


@commands.command("create")
def create_key(
    *,
    tenant_id: TenantId,
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the key, for people.")],
    scopes: Annotated[
        str,
        typer.Option(
            metavar="SCOPES", help="Comma list of scopes; `all` is every one the tenant may hold."
        ),
    ] = "predict,models:read",
    expires_at: Annotated[
        str | None,
        typer.Option(metavar="MOMENT", help="RFC 3339 moment or date (UTC) at which the key ends."),
    ] = None,
    test: Annotated[
        bool, typer.Option("--test", help="A test key: its use is not billed.")
    ] = False,
    requests_per_second: Annotated[
        float | None, typer.Option(metavar="RATE", help="Rate of this key, within the plan's.")
    ] = None,
    burst: Annotated[
        int | None, typer.Option(metavar="REQUESTS", help="Burst of this key, within the plan's.")
    ] = None,
    models: BoundModels = None,
    networks: BoundNetworks = None,
    as_json: Json = False,
) -> None:
    """Issue a key; its secret is shown this once.

    Example: tollgate keys create platform --name admin --scopes all
    """

    async def create(store: Store) -> IssuedKey:
        return await store.create_key(
            tenant_id,
            actor=command(),
            name=name,
            scopes=chosen_scopes(scopes, tenant_id),
            expires_at=_moment(expires_at),
            is_test=test,
            requests_per_second=requests_per_second,
            burst=burst,
            may_exceed_plan=True,
            bindings=Bindings(comma_list(models), comma_list(networks)),
        )

    show(IssuedKeyDocument.of_issued(ask_store(create)), as_json=as_json)


@commands.command("list")
def list_keys(*, tenant_id: TenantId, as_json: Json = False) -> None:
    """List a tenant's keys, revoked ones included."""

    async def read(store: Store) -> list[ApiKey]:
        return await read_all(
            lambda after: store.list_keys(tenant_id, after=after, limit=MAX_PAGE_ITEMS),
            lambda key: key.key_id,
        )

    documents = [KeyDocument.of(key) for key in ask_store(read)]
    show_list(documents, columns=_COLUMNS, as_json=as_json)


@commands.command("show")
def show_key(*, tenant_id: TenantId, key_id: KeyId, as_json: Json = False) -> None:
    """Show one key, without its secret."""
    key = ask_store(lambda store: store.get_key(tenant_id, key_id))
    show(KeyDocument.of(key), as_json=as_json)


@commands.command("rotate")
def rotate_key(
    *,
    tenant_id: TenantId,
    key_id: KeyId,
    overlap_seconds: Annotated[
        int, typer.Option(metavar="SECONDS", help="How long the secrets it has now go on working.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Give a key a new secret; it is shown this once.

    Example: tollgate keys rotate ten_8hT3kQzW0aB5cD7e 0123456789abcdef --overlap-seconds 86400
    """

    async def rotate(store: Store) -> IssuedKey:
        return await store.rotate_key(
            tenant_id, key_id, actor=command(), overlap_seconds=overlap_seconds
        )

    show(IssuedKeyDocument.of_issued(ask_store(rotate)), as_json=as_json)


@commands.command("revoke")
def revoke_key(*, tenant_id: TenantId, key_id: KeyId, as_json: Json = False) -> None:
    """Revoke a key for good; it is refused from the next request on."""
    ask_store(lambda store: store.revoke_key(tenant_id, key_id, actor=command()))
    if as_json:
        show_json({"key_id": key_id, "revoked": True})
    else:
        typer.echo(f"{key_id} is revoked")


def _moment(expires_at: str | None) -> datetime | None:
    return None if expires_at is None else parse_moment(expires_at, name="--expires-at")


def chosen_scopes(scopes: str, tenant_id: str) -> tuple[str, ...]:
    """Read a comma list of scopes; `all` is every one that the tenant may hold."""
    if scopes == _EVERY_SCOPE:
        return tuple(sorted(ALL_SCOPES if tenant_id == PLATFORM_TENANT_ID else TENANT_SCOPES))
    return comma_list(scopes) or ()
