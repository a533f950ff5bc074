"""`tollgate pepper`: change the secret that digests are made with, without a refused request."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, TypeVar

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.cli.console import Json, show_json, show_table
from gateway.database import opened_database
from gateway.pepper_change import pepper_status, read_pepper, retire_pepper, rotate_pepper
from gateway.settings import Settings, load_settings

commands = typer.Typer(
    help="Change the pepper of stored secrets, version by version.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Answer = TypeVar("Answer")


def register(program: typer.Typer) -> None:
    """Add the commands."""
    program.add_typer(commands, name="pepper")


@commands.command("status")
def show_status(*, as_json: Json = False) -> None:
    """Show the versions, and how many live secrets were made with each."""
    settings = load_settings()
    pepper = read_pepper(settings)
    found = _ask(settings, lambda engine: pepper_status(engine, pepper))
    rows = [asdict(version) for version in found]
    if as_json:
        show_json({"data": rows, "next": None})
    else:
        show_table(rows, columns=("version", "use", "secrets"))


@commands.command("rotate")
def rotate(*, as_json: Json = False) -> None:
    """Take the next step of a rotation: make a version known, then put it in use.

    Restart every server after each step (SIGHUP), and call this twice.

    Example: tollgate pepper rotate
    """
    version, use = rotate_pepper(load_settings())
    if as_json:
        show_json({"version": version, "use": use})
    elif use == "known":
        typer.echo(f"version {version} is known: restart every server, then call this again")
    else:
        typer.echo(f"version {version} is in use: restart every server")


@commands.command("retire")
def retire(
    *,
    version: Annotated[int, typer.Argument(metavar="VERSION", help="As `pepper status` shows it.")],
    as_json: Json = False,
) -> None:
    """Drop a version that no live secret needs any more.

    Example: tollgate pepper retire 1
    """
    settings = load_settings()
    _ask(settings, lambda engine: retire_pepper(settings, engine, version))
    if as_json:
        show_json({"version": version, "use": "gone"})
    else:
        typer.echo(f"version {version} is gone")


def _ask(settings: Settings, operation: Callable[[AsyncEngine], Awaitable[Answer]]) -> Answer:
    return asyncio.run(_run(settings, operation))


async def _run(settings: Settings, operation: Callable[[AsyncEngine], Awaitable[Answer]]) -> Answer:
    async with opened_database(settings) as engine:
        return await operation(engine)
