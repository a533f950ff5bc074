"""`tollgate backup`: copy what cannot be made again."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.backup import make_backup
from gateway.cli.console import Json, show_json
from gateway.settings import load_settings

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder to make.")]


def register(program: typer.Typer) -> None:
    """Add the command."""
    program.command("backup")(back_up)


def back_up(folder: Folder, *, as_json: Json = False) -> None:
    """Copy journals, SQLite records and secrets, beside a running server.

    Records in PostgreSQL are not copied: run pg_dump after this, not before.

    Example: tollgate backup /srv/backups/2026-11-21
    """
    backup = make_backup(load_settings(), folder)
    if backup.secrets_elsewhere:
        names = " and ".join(backup.secrets_elsewhere)
        typer.echo(
            f"not in the copy: {names}, which a setting gives; "
            "keep a copy of your own, as nothing starts on the records without",
            err=True,
        )
    if as_json:
        show_json(
            {
                "folder": str(backup.folder),
                "files": backup.files,
                "records": backup.has_records,
                "secrets_elsewhere": backup.secrets_elsewhere,
            }
        )
        return
    typer.echo(f"copied to {backup.folder}: {', '.join(backup.files)}")
    if not backup.has_records:
        typer.echo("the records are in PostgreSQL: run pg_dump now")
