"""`tollgate usage correct`: put a signed record on the bill that names the one it corrects."""

import asyncio
from typing import Annotated

import typer

from auth.actor import command
from auth.api_keys import random_base62
from gateway.billing.documents import CorrectionDocument
from gateway.billing.period_store import PeriodStore
from gateway.cli.console import Json, show
from gateway.records import open_store
from gateway.settings import load_settings
from gateway.usage.corrections import Corrected, Correction


def add_correction_command(commands: typer.Typer) -> None:
    """Add the command to those of `tollgate usage`."""
    commands.command("correct")(correct)


def correct(
    request_id: Annotated[
        str, typer.Argument(metavar="REQUEST_ID", help="Id of the request that was recorded.")
    ],
    *,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="For the audit log.")],
    rows: Annotated[
        int, typer.Option(metavar="ROWS", help="What to add; -3 takes three away.")
    ] = 0,
    units: Annotated[int, typer.Option(metavar="UNITS", help="The same of what is billed.")] = 0,
    correction_id: Annotated[
        str | None,
        typer.Option("--id", metavar="ID", help="Of the correction: the same again does nothing."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Even if less than nothing is left of the request.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Correct the bill of a request in the open month; what was recorded stays as it is.

    Example: tollgate usage correct 01J9Z3 --rows -8 --units -8 --reason "model answered nonsense"
    """
    correction = Correction(
        correction_id=correction_id or f"cor_{random_base62(16)}",
        request_id=request_id,
        rows=rows,
        units=units,
    )
    corrected = asyncio.run(_correct(correction, reason=reason, is_forced=force))
    show(CorrectionDocument.of(corrected), as_json=as_json)


async def _correct(correction: Correction, *, reason: str, is_forced: bool) -> Corrected:
    async with open_store(load_settings()) as store:
        return await store.part(PeriodStore).correct(
            correction, reason=reason, is_forced=is_forced, actor=command()
        )
