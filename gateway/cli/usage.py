"""`tollgate usage`: read the bill, and look after the journals that it is made from."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import typer

from gateway.cli.conflicts import add_conflict_command
from gateway.cli.console import Json, show_json, show_table
from gateway.cli.corrections import add_correction_command
from gateway.cli.journals import add_journal_commands
from gateway.cli.usage_export import add_export_command
from gateway.cli.usage_send import add_send_commands
from gateway.database import opened_database
from gateway.reading.standing import read_standing
from gateway.report_query import ReportWish, UsageDocument, read_wish, usage_document
from gateway.settings import Settings, load_settings
from gateway.usage.pieces import Bucket
from gateway.usage.reports import usage_report

_COUNTS = ("requests", "rows", "units")


commands = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
add_journal_commands(commands)
add_export_command(commands)
add_conflict_command(commands)
add_correction_command(commands)
add_send_commands(commands)


def register(program: typer.Typer) -> None:
    """Add the commands."""
    program.add_typer(commands, name="usage")


@commands.callback()
def read_usage(
    context: typer.Context,
    *,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="MOMENT", help="First moment: a date (UTC) or RFC 3339."),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="MOMENT", help="First moment that is not counted.")
    ] = None,
    bucket: Annotated[Bucket, typer.Option(help="Parts of the range, in UTC.")] = "day",
    group_by: Annotated[
        str | None, typer.Option(metavar="GROUPS", help="Comma list of tenant, model and key.")
    ] = None,
    tenant_id: Annotated[
        str | None, typer.Option(metavar="TENANT_ID", help="Only this tenant.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Read the bill: requests, rows and units.

    The range is half-open in UTC, by default the current month. A running server delivers what it
    served within about a second; `complete_through` says up to which moment all is counted.

    Example: tollgate usage --from 2026-11-01 --to 2026-12-01 --group-by tenant,model
    """
    if context.invoked_subcommand is not None:
        return
    wish = ReportWish(start=start, end=end, bucket=bucket, group_by=group_by, tenant_id=tenant_id)
    document = asyncio.run(_report(load_settings(), wish))
    if as_json:
        show_json(document.model_dump(mode="json", exclude_unset=True))
        return
    show_table(
        [line.model_dump(mode="json") for line in document.data],
        columns=("start", "end", *wish.group_names, *_COUNTS),
    )
    typer.echo(f"complete through {document.complete_through}")


async def _report(settings: Settings, wish: ReportWish) -> UsageDocument:
    query = read_wish(wish, now=datetime.now(UTC), prefix="--")
    async with opened_database(settings) as engine:
        standing = await read_standing(engine, query.start_us, query.end_us)
        report = await usage_report(engine, query)
        return usage_document(query, report, period_state=standing.period_state)
