"""`tollgate migrate`: make the records ready for this version."""

import asyncio
import contextlib

import typer

from gateway.cli.console import Json, show_json
from gateway.database import create_engine, migrate
from gateway.services import prepare_data_dir
from gateway.settings import Settings, load_settings


def register(program: typer.Typer) -> None:
    """Add the command."""
    program.command("migrate")(run_migrations)


def run_migrations(*, as_json: Json = False) -> None:
    """Create the data folder and the database, or bring an older database up to date.

    Example: TOLLGATE_DATA_DIR=/srv/tollgate tollgate migrate
    """
    asyncio.run(bring_up_to_date(load_settings()))
    if as_json:
        show_json({"migrated": True})
    else:
        typer.echo("the database is up to date")


async def bring_up_to_date(settings: Settings) -> None:
    """Prepare the data folder and the schema of the records."""
    prepare_data_dir(settings.data_dir)
    engine = create_engine(settings.resolved_database_url)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(engine.dispose)
        await migrate(engine)
