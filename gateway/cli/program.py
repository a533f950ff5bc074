"""Put the `tollgate` command together, and turn every foreseen failure into one line."""

import sys
from collections.abc import Sequence
from typing import NoReturn

import typer
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from auth.errors import AuthError
from gateway.cli import demo, keys, migrate, models, plans, serve, tenants, usage
from gateway.data_folder import keep_new_files_private
from gateway.errors import GatewayError
from gateway.usage.errors import UsageError
from inference.errors import InferenceError

USER_ERRORS = (
    AuthError,
    GatewayError,
    InferenceError,
    UsageError,
    SQLAlchemyError,
    OSError,
)
"""What an operator can cause and cure; anything else is a defect and keeps its traceback."""

HELP = """Serve ONNX models behind API keys, limits and an exact bill.

Settings come from the environment (TOLLGATE_PORT, TOLLGATE_DATA_DIR, ...). The commands for plans,
tenants and keys work on the same database as a running server, and count from its next request on.

First steps:  tollgate demo

In production:  tollgate migrate, then tollgate keys create platform --name admin --scopes all, then
tollgate serve
"""


def build_program() -> typer.Typer:
    """Build the command with all its subcommands."""
    program = typer.Typer(
        name="tollgate",
        help=HELP,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
        rich_markup_mode=None,
    )
    for module in (serve, demo, migrate, usage):
        module.register(program)
    models.register(program)
    program.add_typer(plans.commands, name="plans")
    program.add_typer(tenants.commands, name="tenants")
    program.add_typer(keys.commands, name="keys")
    return program


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command; exit 0 when it is done, 1 when it cannot be, 2 when called wrongly."""
    keep_new_files_private()
    try:
        build_program()(arguments, prog_name="tollgate")
    except USER_ERRORS as error:
        typer.echo(f"tollgate: {one_line(error)}", err=True)
        sys.exit(1)
    sys.exit(0)


def one_line(error: BaseException) -> str:
    """Say what went wrong in one line."""
    if isinstance(error, ArgumentError):
        return f"TOLLGATE_DATABASE_URL: {error}"
    if isinstance(error, SQLAlchemyError):
        return f"the database cannot be used: {error.__cause__ or type(error).__name__}"
    text = " ".join(str(error).split())
    return text or type(error).__name__
