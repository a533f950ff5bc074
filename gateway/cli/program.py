"""Put the `tollgate` command together, of no more than the chosen subcommand needs.

A server needs FastAPI, SQLAlchemy and ONNX Runtime, whose imports take 1.2 seconds; a page of help
needs none of them. So the modules of the subcommands are imported by name, in `_load` alone.
"""

import importlib
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Final, NamedTuple, NoReturn

import typer

from gateway.data_folder import keep_new_files_private

HELP = """Serve ONNX models behind API keys, limits and an exact bill.

Settings come from the environment (TOLLGATE_PORT, TOLLGATE_DATA_DIR, ...). The commands for plans,
tenants and keys work on the same database as a running server, and count from its next request on.

First steps:  tollgate demo

In production:  tollgate migrate, then tollgate admin create NAME, then tollgate serve
"""


class Subcommand(NamedTuple):
    """A subcommand before it is loaded."""

    module: str
    """The module of this package whose `register` adds it."""

    summary: str
    """What the list of commands says of it; a test compares it with the command itself."""


SUBCOMMANDS: Final = {
    "serve": Subcommand("serve", "Serve the models of the repository until a signal says stop."),
    "demo": Subcommand("demo", "Serve a demo tenant and print a request that works."),
    "migrate": Subcommand("migrate", "Make the database, or bring it up to date."),
    "backup": Subcommand(
        "backup", "Copy journals, SQLite records and secrets, beside a running server."
    ),
    "usage": Subcommand("usage", "Read the bill: requests, rows and units."),
    "periods": Subcommand(
        "periods", "Close months, show what they come to, and prove that nobody changed them."
    ),
    "check": Subcommand("models", "Check a model repository before it is served."),
    "models": Subcommand("models", "Look at the models of the repository."),
    "plans": Subcommand("plans", "Create, list and show plans: the limits that tenants buy."),
    "tenants": Subcommand(
        "tenants", "Create, list, show, change and delete tenants: the customers."
    ),
    "admin": Subcommand(
        "admin", "Create, list and change admins: the people who run the platform."
    ),
    "login": Subcommand("login", "Log in to a server and keep the session for this user."),
    "logout": Subcommand("logout", "End the session that `tollgate login` has kept."),
    "keys": Subcommand("keys", "Issue, list, show, rotate and revoke API keys."),
    "pepper": Subcommand("pepper", "Change the pepper of stored secrets, version by version."),
    "audit": Subcommand(
        "audit", "Read the log of changes, and prove that nobody tampered with it."
    ),
    "clients": Subcommand("clients", "Make, list, show, rotate and revoke OAuth2 clients."),
    "signing-keys": Subcommand(
        "signing_keys", "List, rotate and revoke the keys that sign access tokens and receipts."
    ),
    "reconcile": Subcommand(
        "reconcile", "Compare what the proxy, the limiter, the journals and the ledger say."
    ),
    "receipts": Subcommand("receipts", "Check the receipts of answers against a statement."),
}


def build_program(chosen: str | None) -> typer.Typer:
    """Build the command with one subcommand that works and the names of the others."""
    program = typer.Typer(
        name="tollgate",
        help=HELP,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
        rich_markup_mode=None,
    )
    for name, summary in _not_loaded(chosen):
        program.command(name, help=summary)(_stand_in)
    if chosen in SUBCOMMANDS:
        _load(SUBCOMMANDS[chosen].module).register(program)
    return program


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command; exit 0 when it is done, 1 when it cannot be, 2 when called wrongly."""
    keep_new_files_private()
    words = sys.argv[1:] if arguments is None else list(arguments)
    chosen = next((word for word in words if not word.startswith("-")), None)
    try:
        build_program(chosen)(words, prog_name="tollgate")
    except SystemExit:
        raise
    except _load("failures").USER_ERRORS as error:  # read when something failed, and not before
        typer.echo(f"tollgate: {_load('failures').one_line(error)}", err=True)
        sys.exit(1)
    sys.exit(0)


def _not_loaded(chosen: str | None) -> Iterator[tuple[str, str]]:
    loaded = SUBCOMMANDS[chosen].module if chosen in SUBCOMMANDS else None
    for name, subcommand in SUBCOMMANDS.items():
        if subcommand.module != loaded:
            yield name, subcommand.summary


def _stand_in() -> None:
    """Stand in the list of commands for one that was not asked for."""


def _load(name: str) -> ModuleType:
    """Import a module of this package by name.

    The only place where that is done: imports at the top would load everything for every command.
    """
    return importlib.import_module(f"gateway.cli.{name}")
