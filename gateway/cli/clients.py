"""`tollgate clients`: make, list, show, rotate and revoke OAuth2 clients."""

from pathlib import Path
from typing import Annotated

import typer

from auth.actor import command
from auth.bindings import Bindings
from auth.clients import Client, IssuedClient
from auth.errors import InvalidChange
from auth.store import Store
from gateway.cli.console import Json, comma_list, show, show_json, show_list
from gateway.cli.keys import BoundModels, BoundNetworks, TenantId, chosen_scopes
from gateway.cli.records import MAX_PAGE_ITEMS, ask_store, read_all
from gateway.client_schemas import ClientDocument, IssuedClientDocument
from gateway.dataplane.json_document import parse_strict
from gateway.moments import parse_moment

commands = typer.Typer(
    help="Make, list, show, rotate and revoke OAuth2 clients. They get tokens at /oauth2/token.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_COLUMNS = (
    "client_id",
    "authentication",
    "expires_at",
    "revoked_at",
    "last_used_at",
    "scopes",
    "name",
)

ClientId = Annotated[
    str, typer.Argument(metavar="CLIENT_ID", help="Id of the client, as `clients list` shows it.")
]
Jwks = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="JWK Set with public keys, of a client that signs instead of holding a secret.",
    ),
]


def register(program: typer.Typer) -> None:
    """Add the commands."""
    program.add_typer(commands, name="clients")


@commands.command("create")
def create_client(
    *,
    tenant_id: TenantId,
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the client, for people.")],
    scopes: Annotated[
        str,
        typer.Option(
            metavar="SCOPES", help="Comma list of scopes; `all` is every one the tenant may hold."
        ),
    ] = "predict,models:read",
    jwks: Jwks = None,
    expires_at: Annotated[
        str | None,
        typer.Option(metavar="MOMENT", help="RFC 3339 moment or date (UTC) at which it ends."),
    ] = None,
    requests_per_second: Annotated[
        float | None, typer.Option(metavar="RATE", help="Rate of all its tokens together.")
    ] = None,
    burst: Annotated[
        int | None, typer.Option(metavar="REQUESTS", help="Burst of all its tokens together.")
    ] = None,
    models: BoundModels = None,
    networks: BoundNetworks = None,
    as_json: Json = False,
) -> None:
    """Make a client; its secret is shown this once.

    Example: tollgate clients create platform --name billing --scopes usage:read:all
    """

    async def create(store: Store) -> IssuedClient:
        return await store.create_client(
            tenant_id,
            actor=command(),
            name=name,
            scopes=chosen_scopes(scopes, tenant_id),
            jwks=_read_jwks(jwks),
            expires_at=None
            if expires_at is None
            else parse_moment(expires_at, name="--expires-at"),
            requests_per_second=requests_per_second,
            burst=burst,
            may_exceed_plan=True,
            bindings=Bindings(comma_list(models), comma_list(networks)),
        )

    show(IssuedClientDocument.of_issued(ask_store(create)), as_json=as_json)


@commands.command("list")
def list_clients(*, tenant_id: TenantId, as_json: Json = False) -> None:
    """List a tenant's clients, revoked ones included."""

    async def read(store: Store) -> list[Client]:
        return await read_all(
            lambda after: store.list_clients(tenant_id, after=after, limit=MAX_PAGE_ITEMS),
            lambda client: client.client_id,
        )

    documents = [ClientDocument.of(client) for client in ask_store(read)]
    show_list(documents, columns=_COLUMNS, as_json=as_json)


@commands.command("show")
def show_client(*, tenant_id: TenantId, client_id: ClientId, as_json: Json = False) -> None:
    """Show one client, without its secret."""
    client = ask_store(lambda store: store.get_client(tenant_id, client_id))
    show(ClientDocument.of(client), as_json=as_json)


@commands.command("rotate")
def rotate_client(
    *,
    tenant_id: TenantId,
    client_id: ClientId,
    overlap_seconds: Annotated[
        int, typer.Option(metavar="SECONDS", help="How long what it has now goes on working.")
    ] = 0,
    jwks: Jwks = None,
    as_json: Json = False,
) -> None:
    """Give a client a new secret, shown this once, or one that signs its new keys.

    Example: tollgate clients rotate ten_8hT3kQzW0aB5cD7e cli_0123456789abcdef
    """

    async def rotate(store: Store) -> IssuedClient:
        return await store.rotate_client(
            tenant_id,
            client_id,
            actor=command(),
            overlap_seconds=overlap_seconds,
            jwks=_read_jwks(jwks),
        )

    show(IssuedClientDocument.of_issued(ask_store(rotate)), as_json=as_json)


@commands.command("revoke")
def revoke_client(*, tenant_id: TenantId, client_id: ClientId, as_json: Json = False) -> None:
    """Revoke a client for good; its tokens are refused from the next request on."""
    ask_store(lambda store: store.revoke_client(tenant_id, client_id, actor=command()))
    if as_json:
        show_json({"client_id": client_id, "revoked": True})
    else:
        typer.echo(f"{client_id} is revoked")


def _read_jwks(path: Path | None) -> dict[str, object] | None:
    if path is None:
        return None
    document = parse_strict(path.read_bytes())
    if not isinstance(document, dict):
        raise InvalidChange("must be a JWK Set", "jwks")
    return document
