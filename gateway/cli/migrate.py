"""`tollgate migrate`: make the records ready for this version."""

import asyncio
import contextlib
from typing import Annotated

import typer
from alembic.util import CommandError

from auth.actor import command
from gateway.cli.bootstrap import tell_first_token
from gateway.cli.console import Json, show_json
from gateway.data_folder import prepare_data_dir
from gateway.database import check_schema, migrate, open_engine
from gateway.settings import Settings, load_settings

_STEP_SECONDS = 3600.0

NoToken = Annotated[
    bool,
    typer.Option(
        "--no-token", help="Show no token for the first admin, where a log would keep it."
    ),
]


def register(program: typer.Typer) -> None:
    """Add the command."""
    program.command("migrate")(run_migrations)


def run_migrations(*, no_token: NoToken = False, as_json: Json = False) -> None:
    """Make the database, or bring it up to date.

    Example: TOLLGATE_DATA_DIR=/srv/tollgate tollgate migrate
    """
    asyncio.run(_migrate(load_settings(), shows_token=not no_token))
    if as_json:
        show_json({"migrated": True})
    else:
        typer.echo("the database is up to date")


async def _migrate(settings: Settings, *, shows_token: bool) -> None:
    """Bring the database up to date; whoever makes a new one is shown how to get in."""
    await bring_up_to_date(settings)
    if not shows_token:
        return
    async with contextlib.AsyncExitStack() as stack:
        engine = open_engine(settings)
        stack.push_async_callback(engine.dispose)
        await tell_first_token(engine, actor=command())


async def bring_up_to_date(settings: Settings) -> None:
    """Prepare the data folder and the schema of the records.

    Raises:
        StartRefused: the data folder cannot be used.
        SchemaMismatch: the database was made by a newer version.
    """
    prepare_data_dir(settings.data_dir)
    engine = open_engine(settings, answer_seconds=_STEP_SECONDS)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(engine.dispose)
        try:
            await migrate(engine)
        except CommandError:  # alembic does not know the step that the database is at
            await check_schema(engine)
            raise
