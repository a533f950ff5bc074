"""`tollgate audit`: read the log of changes, and prove that it is as it was written."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from auth.audit import NO_ENTRY, Entry, Head, read_head_text
from auth.audit_log import AuditWish, read_entries, verify_log
from gateway.audit_documents import AuditDocument
from gateway.cli.console import Json, show_json, show_table
from gateway.database import opened_database
from gateway.settings import load_settings

commands = typer.Typer(
    help="Read the log of changes, and prove that nobody tampered with it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_PROGRESS_ENTRIES = 100_000

Answer = TypeVar("Answer")


def register(program: typer.Typer) -> None:
    """Add the commands."""
    program.add_typer(commands, name="audit")


@commands.command("list")
def list_entries(
    *,
    tenant_id: Annotated[
        str | None, typer.Option(metavar="TENANT_ID", help="Only what was changed of this tenant.")
    ] = None,
    action: Annotated[
        str | None, typer.Option(metavar="ACTION", help="Only this, such as key.revoke.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="ID", help="Only what was changed of this record.")
    ] = None,
    after: Annotated[
        int, typer.Option(metavar="SEQUENCE", help="Only what came after this number.")
    ] = 0,
    limit: Annotated[int, typer.Option(metavar="ENTRIES", min=1, max=10_000)] = 100,
    as_json: Json = False,
) -> None:
    """List changes in their order: who, when, what.

    Example: tollgate audit list --action key.revoke
    """
    wish = AuditWish(tenant_id=tenant_id, action=action, target=target)

    async def read(engine: AsyncEngine) -> list[Entry]:
        async with engine.connect() as connection:
            return await read_entries(connection, after=after, limit=limit, wish=wish)

    documents = [AuditDocument.of(entry, is_platform=True) for entry in _ask(read)]
    rows = [document.model_dump(mode="json") for document in documents]
    if as_json:
        is_full = len(rows) == limit
        show_json({"data": rows, "next": rows[-1]["sequence"] if is_full else None})
        return
    for row in rows:
        who = row["principal"]
        row["by"] = f"{who['kind']} {who['id'] or ''}".strip()
    show_table(rows, columns=("sequence", "occurred_at", "by", "action", "target", "tenant_id"))


@commands.command("verify")
def verify(
    *,
    head: Annotated[
        str | None,
        typer.Option(
            metavar="SEQUENCE:HASH",
            help="A head that an earlier run printed: finds a log that was cut or made anew.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Walk the whole chain of hashes; exit 1 and name the first entry that does not fit.

    Note the head that it prints outside this machine, and give it to a later run.

    Example: tollgate audit verify
    """
    noted = NO_ENTRY if head is None else read_head_text(head)
    end = _ask(lambda engine: verify_log(engine, noted=noted, on_page=_tell_progress))
    if as_json:
        show_json({"entries": end.sequence, "head": str(end)})
    else:
        typer.echo(f"{end.sequence} entries are as they were written; the head is {end}")


def _tell_progress(head: Head) -> None:
    if head.sequence % _PROGRESS_ENTRIES == 0:
        typer.echo(f"{head.sequence} entries so far", err=True)


def _ask(operation: Callable[[AsyncEngine], Awaitable[Answer]]) -> Answer:
    """Read the records without the server's secrets, as a copy of them can be read."""
    return asyncio.run(_run(operation))


async def _run(operation: Callable[[AsyncEngine], Awaitable[Answer]]) -> Answer:
    async with opened_database(load_settings()) as engine:
        return await operation(engine.execution_options(postgresql_readonly=True))
