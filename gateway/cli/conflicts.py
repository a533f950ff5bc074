"""`tollgate usage conflicts`: see what came under the id of another record and is not billed."""

import asyncio
from typing import Any

import typer

from gateway.cli.console import Json, show_json, show_table
from gateway.database import opened_database
from gateway.settings import load_settings
from gateway.usage.conflicts import Conflict, list_conflicts


def add_conflict_command(commands: typer.Typer) -> None:
    """Add the command to those of `tollgate usage`."""
    commands.command("conflicts")(conflicts)


def conflicts(*, as_json: Json = False) -> None:
    """List the records that are not billed, since the ledger has others under their ids.

    Each with the fields in which it is not what was billed, or with nothing where that was pruned.
    Put what is owed on the bill with `tollgate usage correct`.

    Example: tollgate usage conflicts
    """
    found = asyncio.run(_list())
    if as_json:
        show_json({"data": [_document(one) for one in found], "next": None})
        return
    rows = [
        {
            "request_id": one.refused.request_id,
            "tenant_id": one.refused.tenant_id,
            "units": one.refused.units,
            "journal_id": one.journal_id,
            "billed": _billed(one),
        }
        for one in found
    ]
    show_table(rows, columns=("request_id", "tenant_id", "units", "journal_id", "billed"))


async def _list() -> list[Conflict]:
    async with opened_database(load_settings()) as engine:
        return await list_conflicts(engine)


def _billed(conflict: Conflict) -> dict[str, Any] | None:
    """Tell what the ledger has where it is not the same; None where that is no longer kept."""
    if conflict.billed is None:
        return None
    return {name: getattr(conflict.billed, name) for name in conflict.differences}


def _document(conflict: Conflict) -> dict[str, Any]:
    return {
        "request_id": conflict.refused.request_id,
        "journal_id": conflict.journal_id,
        "refused": conflict.refused._asdict(),
        "billed": None if conflict.billed is None else conflict.billed._asdict(),
        "differences": list(conflict.differences),
    }
