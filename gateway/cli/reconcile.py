"""`tollgate reconcile`: compare the proxy's log, the limiter, the journals and the ledger."""

import asyncio
import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import select

from auth.tables import tenants
from gateway.cli.console import Json, show_json
from gateway.counters import open_redis_counters
from gateway.database import opened_database
from gateway.evidence.kinds import Finding, Kind, Tally
from gateway.evidence.reconcile import Reconciled, Sources, reconcile
from gateway.moments import microseconds, moment_of, parse_moment, rfc3339
from gateway.settings import Settings, load_settings
from gateway.usage.periods import period_of, period_start_us

_SHOWN = 1000


def register(program: typer.Typer) -> None:
    """Add the command."""
    program.command("reconcile")(reconcile_range)


def reconcile_range(
    *,
    start: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="MOMENT", help="First moment: a date (UTC) or RFC 3339; this month's."
        ),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option("--to", metavar="MOMENT", help="First moment that is not compared; now."),
    ] = None,
    logs: Annotated[
        list[Path] | None,
        typer.Option("--log", metavar="FILE", help="Nginx's access log, or a rotated one; repeat."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare what the proxy, the limiter, the journals and the ledger say.

    Prints each difference with its request id and what it means; exits with 1 if there is one. The
    range ends at the latest where the ledger is complete. Without a log the proxy is left out; the
    counters are read from Redis, and a server that counts by itself compares them hourly. Counters
    are always those of this month, whatever the range.

    Example: tollgate reconcile --from 2026-11-01 --log /var/log/nginx/access.log
    """
    settings = load_settings()
    found: list[Finding] = []
    shown = 0

    def note(finding: Finding) -> None:
        nonlocal shown
        if as_json:
            found.append(finding)
        elif not finding.kind.is_explained or shown < _SHOWN:
            shown += finding.kind.is_explained
            typer.echo(_line(finding))

    done = asyncio.run(_reconcile(settings, start, end, logs=logs or [], tally=Tally(note)))
    if as_json:
        show_json(_document(done, found))
    else:
        typer.echo(_summary(done))
    raise typer.Exit(1 if done.tally.differences else 0)


async def _reconcile(
    settings: Settings, start: str | None, end: str | None, *, logs: list[Path], tally: Tally
) -> Reconciled:
    now = datetime.now(UTC)
    end_us = microseconds(now if end is None else parse_moment(end, name="--to"))
    first_us = period_start_us(period_of(end_us - 1))
    start_us = first_us if start is None else microseconds(parse_moment(start, name="--from"))
    async with contextlib.AsyncExitStack() as stack:
        engine = await stack.enter_async_context(opened_database(settings))
        async with engine.connect() as connection:
            await connection.execution_options(postgresql_readonly=True)
            tenant_ids = list(await connection.scalars(select(tenants.c.tenant_id)))
        counters = await stack.enter_async_context(open_redis_counters(settings))
        sources = Sources(
            engine=engine,
            journals=settings.data_dir / "journals",
            logs=logs,
            read_counters=counters,
            tenant_ids=tenant_ids,
        )
        return await reconcile(
            sources,
            start_us=start_us,
            end_us=end_us,
            tally=tally,
            tell=lambda told: typer.echo(told, err=True),
        )


def _line(finding: Finding) -> str:
    mark = "explained" if finding.kind.is_explained else "DIFFERENCE"
    detail = f" ({finding.detail})" if finding.detail else ""
    return f"{mark} {finding.kind.title} {finding.subject}: {finding.kind.meaning}{detail}"


def _summary(done: Reconciled) -> str:
    explained = sum(count for kind, count in done.tally.counts.items() if kind.is_explained)
    compared = [f"{done.held} records in journals"]
    if done.answered is not None:
        compared += [f"{done.answered} answers in the proxy's log", f"{done.rows} rows"]
    if done.tenants is not None:
        compared.append(f"{done.tenants} tenants' counters of this month")
    notes = "".join(f"{note}\n" for note in done.notes)
    return (
        f"{notes}{rfc3339(moment_of(done.start_us))} to {rfc3339(moment_of(done.end_us))}: "
        f"{', '.join(compared)}; {done.tally.differences} differences, {explained} explained"
    )


def _document(done: Reconciled, found: list[Finding]) -> dict[str, object]:
    return {
        "start": rfc3339(moment_of(done.start_us)),
        "end": rfc3339(moment_of(done.end_us)),
        "answers": done.answered,
        "rows": done.rows,
        "journal_records": done.held,
        "tenants": done.tenants,
        "notes": done.notes,
        "differences": done.tally.differences,
        "counts": {kind.title: done.tally.counts[kind] for kind in Kind},
        "data": [
            {
                "kind": one.kind.title,
                "subject": one.subject,
                "is_explained": one.kind.is_explained,
                "meaning": one.kind.meaning,
                "detail": one.detail,
            }
            for one in found
        ],
    }
