"""`tollgate usage journals`, `forget` and `salvage`: see and end what holds the bill back."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy.exc import SQLAlchemyError

from gateway.cli.console import Json, show_json, show_table
from gateway.database import opened_database
from gateway.moments import moment_of, rfc3339
from gateway.settings import load_settings
from gateway.usage.errors import UsageError
from gateway.usage.periods import wall_clock_us
from gateway.usage.promises import JournalPromise, forget_journal, journal_promises
from gateway.usage.salvage import Gap, Salvage, salvage_journal

JournalId = Annotated[
    str, typer.Argument(metavar="JOURNAL_ID", help="Id, as `usage journals` shows it.")
]


def add_journal_commands(commands: typer.Typer) -> None:
    """Add the commands to those of `tollgate usage`."""
    commands.command("journals")(list_journals)
    commands.command("forget")(forget)
    commands.command("salvage")(salvage)


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


def salvage(
    journal: Annotated[
        Path, typer.Argument(metavar="FILE", help="The damaged journals/worker-N.db.")
    ],
    *,
    as_json: Json = False,
) -> None:
    """Save what can be read of a damaged journal, and say what cannot.

    Whole segments go to a new journal beside it, which a running server delivers within seconds, or
    the next start; the damaged file is kept aside. Stop the server that holds it first. Exits with
    1 if something cannot be read that the ledger does not have.

    Example: tollgate usage salvage var/journals/worker-0.db
    """
    now_us = wall_clock_us()
    saved = salvage_journal(journal, stamp=moment_of(now_us).strftime("%Y%m%dT%H%M%S"))
    gaps = asyncio.run(_undelivered(saved))
    if as_json:
        show_json(_salvage_document(saved, gaps))
    else:
        typer.echo(
            f"{saved.segments} segments with {saved.records} records, and {saved.answers} answers "
            f"for retries, are readable and go on in {saved.journal}\n"
            f"the damaged file is kept as {saved.set_aside}"
        )
        for gap in gaps:
            typer.echo(_told(gap))
        if saved.has_lost_answers:
            typer.echo("answers for retries are lost: such a retry runs, and is billed, again")
    if gaps:
        raise typer.Exit(1)


async def _undelivered(saved: Salvage) -> list[Gap]:
    """Leave out what the ledger has; where nobody can ask it, everything counts as missing."""
    if not saved.gaps:
        return []
    try:
        promises = {promise.journal_id: promise for promise in await _list()}
    except (SQLAlchemyError, UsageError) as error:
        typer.echo(f"the ledger cannot say what it has: {error}", err=True)
        return list(saved.gaps)
    promise = promises.get(saved.journal_id)
    position = 0 if promise is None else promise.position
    return [
        gap._replace(first=max(gap.first, position + 1))
        for gap in saved.gaps
        if gap.last is None or gap.last > position
    ]


def _told(gap: Gap) -> str:
    """Say what is missing, and how to find out what it was."""
    end = "on" if gap.last is None else f"to {gap.last}"
    most = "" if gap.most_records is None else f" at most {gap.most_records} records,"
    after, before = _moments(gap)
    times = f" made {f'after {after}' if after else 'at the beginning'}"
    times += f" and before {before}" if before else ""
    log = f"tollgate reconcile --log FILE{f' --from {after}' if after else ''}"
    return (
        f"segments {gap.first} {end} cannot be read:{most}{times}; they are on no bill, and "
        f"`{log}` finds in Nginx's log which they were"
    )


def _moments(gap: Gap) -> tuple[str | None, str | None]:
    """Write the moments around a gap."""
    after, before = (
        None if moment is None else rfc3339(moment_of(moment))
        for moment in (gap.after_us, gap.before_us)
    )
    return after, before


def _salvage_document(saved: Salvage, gaps: list[Gap]) -> dict[str, Any]:
    return {
        "journal": str(saved.journal),
        "set_aside": str(saved.set_aside),
        "segments": saved.segments,
        "records": saved.records,
        "answers": saved.answers,
        "has_lost_answers": saved.has_lost_answers,
        "missing": [
            {"first": gap.first, "last": gap.last, "most_records": gap.most_records}
            | dict(zip(("after", "before"), _moments(gap), strict=True))
            for gap in gaps
        ],
    }


async def _list() -> list[JournalPromise]:
    async with opened_database(load_settings()) as engine:
        return await journal_promises(engine)


async def _forget(journal_id: str) -> JournalPromise:
    async with opened_database(load_settings()) as engine:
        return await forget_journal(engine, journal_id, now_us=wall_clock_us())


def _document(promise: JournalPromise) -> dict[str, Any]:
    return {
        "journal_id": promise.journal_id,
        "complete_through": rfc3339(moment_of(promise.complete_through_us)),
        "position": promise.position,
        "closed": promise.is_closed,
        "holding": promise.is_holding,
    }
