"""`tollgate usage journals` and `tollgate usage forget`: see and end what holds the bill back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, Any

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.cli.console import Json, show_json, show_table
from gateway.database import check_schema, open_engine
from gateway.moments import moment_of, rfc3339
from gateway.settings import load_settings
from gateway.usage.periods import wall_clock_us
from gateway.usage.promises import JournalPromise, forget_journal, journal_promises

JournalId = Annotated[
    str, typer.Argument(metavar="JOURNAL_ID", help="Id, as `usage journals` shows it.")
]


def add_journal_commands(commands: typer.Typer) -> None:
    """Add the commands to those of `tollgate usage`."""
    commands.command("journals")(list_journals)
    commands.command("forget")(forget)


def list_journals(*, as_json: Json = False) -> None:
    """List the journals that the ledger knows, those first that hold `complete_through` back.

    Example: tollgate usage journals
    """
    rows = [_document(promise) for promise in asyncio.run(_list())]
    if as_json:
        show_json({"data": rows, "next": None})
        return
    show_table(rows, columns=("journal_id", "complete_through", "position", "closed", "holding"))


def forget(journal_id: JournalId, *, as_json: Json = False) -> None:
    """Let a journal that was lost for good hold the bill back no more.

    What it recorded after its `complete_through` and did not deliver is on no bill; should the file
    come back, it is delivered then, late. A journal that a worker delivers is refused.

    Example: tollgate usage forget 5f0c3b1e9a7d4c2f8e6b0a1d3c5e7f90
    """
    forgotten = _document(asyncio.run(_forget(journal_id)))
    if as_json:
        show_json(forgotten)
        return
    typer.echo(
        f"{journal_id} is forgotten: what it recorded from {forgotten['complete_through']} on and "
        "did not deliver is on no bill"
    )


async def _list() -> list[JournalPromise]:
    async with _ledger() as engine:
        return await journal_promises(engine)


async def _forget(journal_id: str) -> JournalPromise:
    async with _ledger() as engine:
        return await forget_journal(engine, journal_id, now_us=wall_clock_us())


@contextlib.asynccontextmanager
async def _ledger() -> AsyncIterator[AsyncEngine]:
    engine = open_engine(load_settings())
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(engine.dispose)
        await check_schema(engine)
        yield engine


def _document(promise: JournalPromise) -> dict[str, Any]:
    return {
        "journal_id": promise.journal_id,
        "complete_through": rfc3339(moment_of(promise.complete_through_us)),
        "position": promise.position,
        "closed": promise.is_closed,
        "holding": promise.is_holding,
    }
