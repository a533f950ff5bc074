"""`tollgate admin`: make and change admins from the operator's shell, beside the HTTP operations.

Whoever can run it reaches the records themselves, so it asks for no credential and is the way back
in when nobody can log in any more.
"""

import asyncio
import time
from typing import Annotated

import typer

from auth.actor import command
from auth.admins import ADMIN_SCOPES, Admin
from auth.devices import Devices
from auth.store import Store
from auth.totp import base32_of, new_totp_secret, provisioning_uri
from gateway.admin_documents import AdminDocument
from gateway.cli.bootstrap import replace_token, tell_token
from gateway.cli.console import Json, show, show_json, show_list
from gateway.cli.passwords import PasswordStdin, ask_code, ask_password, hash_new_password
from gateway.cli.records import MAX_PAGE_ITEMS, ask_store, read_all
from gateway.records import open_records
from gateway.settings import load_settings

commands = typer.Typer(
    help="Create, list and change admins: the people who run the platform.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_COLUMNS = ("admin_id", "username", "has_totp", "disabled_at", "last_log_in_at", "scopes")
_EVERY_SCOPE = "all"

Username = Annotated[str, typer.Argument(metavar="USERNAME", help="What the admin logs in with.")]


def register(program: typer.Typer) -> None:
    """Add the commands."""
    program.add_typer(commands, name="admin")


@commands.command("create")
def create_admin(
    *,
    username: Username,
    scopes: Annotated[
        str, typer.Option(metavar="SCOPES", help="Comma list of scopes; `all` but predict.")
    ] = _EVERY_SCOPE,
    password_stdin: PasswordStdin = False,
    as_json: Json = False,
) -> None:
    """Create an admin; the password is asked for.

    Example: tollgate admin create ada --scopes tenants:read,tenants:write,keys:write
    """
    password = ask_password(from_stdin=password_stdin, is_new=True)
    password_hash = hash_new_password(password, username=username)

    async def create(store: Store) -> Admin:
        return await store.create_admin(
            actor=command(),
            username=username,
            password_hash=password_hash,
            scopes=_scopes(scopes),
        )

    show(AdminDocument.of(ask_store(create)), as_json=as_json)


@commands.command("list")
def list_admins(*, as_json: Json = False) -> None:
    """List all admins, disabled ones included."""

    async def read(store: Store) -> list[Admin]:
        return await read_all(
            lambda after: store.list_admins(after=after, limit=MAX_PAGE_ITEMS),
            lambda admin: admin.admin_id,
        )

    documents = [AdminDocument.of(admin) for admin in ask_store(read)]
    show_list(documents, columns=_COLUMNS, as_json=as_json)


@commands.command("disable")
def disable_admin(*, username: Username, as_json: Json = False) -> None:
    """Disable an admin; its sessions are refused from the next request on."""
    _switch(username, is_disabled=True, as_json=as_json)


@commands.command("enable")
def enable_admin(*, username: Username, as_json: Json = False) -> None:
    """Let a disabled admin log in again; its earlier sessions stay ended."""
    _switch(username, is_disabled=False, as_json=as_json)


@commands.command("password")
def set_password(
    *, username: Username, password_stdin: PasswordStdin = False, as_json: Json = False
) -> None:
    """Set a new password; the admin's sessions end at once."""
    password = ask_password(from_stdin=password_stdin, is_new=True)
    password_hash = hash_new_password(password, username=username)

    async def change(store: Store) -> Admin:
        admin = await store.find_admin(username)
        return await store.update_admin(
            admin.admin_id, actor=command(), password_hash=password_hash
        )

    show(AdminDocument.of(ask_store(change)), as_json=as_json)


@commands.command("totp")
def set_totp(
    *,
    username: Username,
    remove: Annotated[
        bool, typer.Option("--remove", help="Forget the authenticator, as when it was lost.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Put an authenticator for one-time codes in, or out with --remove."""
    admin = ask_store(lambda store: _remove_totp(store, username)) if remove else _enrol(username)
    show(AdminDocument.of(admin), as_json=as_json)


@commands.command("device")
def issue_device(*, username: Username) -> None:
    """Print a device token, with which the admin can log in whoever else tries to.

    Example: tollgate login --device-token "$(tollgate admin device ada)" --username ada
    """

    async def issue() -> str:
        async with open_records(load_settings()) as records:
            admin = await records.store.find_admin(username)
            return Devices(records.sealer, now=time.time).issue(admin.username, known=None)

    typer.echo(asyncio.run(issue()))


@commands.command("bootstrap")
def bootstrap(*, as_json: Json = False) -> None:
    """Print a new bootstrap token in the place of a lost one; only while there is no admin."""
    issued = asyncio.run(replace_token(load_settings()))
    if as_json:
        show_json({"bootstrap_token": issued.token, "expires_at": issued.expires_at.isoformat()})
    else:
        tell_token(issued)


def _switch(username: str, *, is_disabled: bool, as_json: bool) -> None:
    async def change(store: Store) -> Admin:
        admin = await store.find_admin(username)
        return await store.update_admin(admin.admin_id, actor=command(), is_disabled=is_disabled)

    show(AdminDocument.of(ask_store(change)), as_json=as_json)


def _enrol(username: str) -> Admin:
    """Show a secret, and put it to use when its first code is typed."""
    secret = new_totp_secret()

    async def enrol(store: Store) -> Admin:
        admin = await store.find_admin(username)
        return await store.enrol_totp(admin.admin_id, secret, actor=command())

    admin = ask_store(enrol)
    uri = provisioning_uri(secret, username=admin.username, issuer="Tollgate")
    typer.echo(f"secret  {base32_of(secret)}\nuri     {uri}", err=True)
    code = ask_code() or ""
    return ask_store(lambda store: store.confirm_totp(admin.admin_id, code, actor=command()))


async def _remove_totp(store: Store, username: str) -> Admin:
    admin = await store.find_admin(username)
    return await store.remove_totp(admin.admin_id, actor=command())


def _scopes(scopes: str) -> tuple[str, ...]:
    if scopes == _EVERY_SCOPE:
        return tuple(sorted(ADMIN_SCOPES))
    return tuple(scope.strip() for scope in scopes.split(",") if scope.strip())
