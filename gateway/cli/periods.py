"""`tollgate periods`: close months, show what they come to, and prove that they are as closed."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Annotated, Final

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from auth.actor import command
from gateway.billing.documents import PeriodDocument, PeriodSummary, Statement
from gateway.billing.period_store import PeriodStore
from gateway.cli.console import Json, show_json, show_list, show_table
from gateway.database import opened_database
from gateway.moments import moment_of, rfc3339
from gateway.records import open_store
from gateway.settings import load_settings
from gateway.usage.chain import Link
from gateway.usage.errors import PeriodBroken, PeriodOpen, PeriodWaits
from gateway.usage.period_records import (
    PeriodRecord,
    read_period,
    read_period_text,
    read_periods,
    read_totals,
)
from gateway.usage.period_states import list_periods
from gateway.usage.periods import wall_clock_us
from gateway.usage.promises import journal_promises
from gateway.usage.verifying import verify_period

commands = typer.Typer(
    help="Close months, show what they come to, and prove that nobody changed them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Period = Annotated[str, typer.Argument(metavar="YYYYMM", help="The month, such as 202611.")]

_COLUMNS: Final = ("period", "state", "closed_at", "record_count", "requests", "rows", "units")
_ANSWER_SECONDS: Final = 600.0
"""Reading a month takes longer than a request may."""
_POLL_SECONDS: Final = 0.5


def register(program: typer.Typer) -> None:
    """Add the commands."""
    program.add_typer(commands, name="periods")


@commands.command("list")
def list_months(*, as_json: Json = False) -> None:
    """List the months: those that are closed, and the open ones after them."""

    async def read() -> list[PeriodRecord]:
        async with _ledger() as engine:
            return await list_periods(engine, now_us=wall_clock_us())

    documents = [PeriodSummary.of(record) for record in asyncio.run(read())]
    show_list(documents, columns=_COLUMNS, as_json=as_json)


@commands.command("show")
def show_month(period: Period, *, as_json: Json = False) -> None:
    """Show a month; of a closed one the statement, by tenant and model.

    Example: tollgate periods show 202611
    """
    number = read_period_text(period)

    async def read() -> PeriodDocument:
        async with _ledger() as engine:
            record = await read_period(engine, number)
            return PeriodDocument.told(record, await read_totals(engine, number))

    document = asyncio.run(read())
    if as_json:
        show_json(document.model_dump(mode="json"))
        return
    _show(document)


@commands.command("close")
def close_month(
    period: Period,
    *,
    wait_seconds: Annotated[
        float,
        typer.Option(
            "--wait",
            metavar="SECONDS",
            min=0.0,
            help="How long to wait for journals that have not delivered all of it.",
        ),
    ] = 60.0,
    as_json: Json = False,
) -> None:
    """Close a month that is over, or go on closing it.

    From the moment that it is sealed, what comes late counts in the open month. It may be ended
    with Ctrl-C at any time: the month stays closing, and the next call goes on.

    Example: tollgate periods close 202611
    """
    number = read_period_text(period)
    asyncio.run(_close(number, wait_seconds=wait_seconds))
    show_month(period, as_json=as_json)


@commands.command("verify")
def verify_months(
    period: Annotated[
        str | None, typer.Argument(metavar="[YYYYMM]", help="Only this month.")
    ] = None,
    *,
    root: Annotated[
        str | None,
        typer.Option(metavar="HASH", help="A root that was noted elsewhere, of the last month."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Walk the chain of hashes of closed months; exit 1 and name the first record that differs.

    Whoever owns the database can make all hashes anew. So note the root outside this machine, or
    send it with the bill, and give it to a later run.

    Example: tollgate periods verify 202611
    """
    wanted = None if period is None else read_period_text(period)
    found = asyncio.run(_verify(wanted, noted=root))
    if as_json:
        show_json({"data": [_verified(record) for record in found], "next": None})
        return
    for record in found:
        if record.pruned_at_us is not None:
            typer.echo(f"{record.period}: its records were pruned; its statement is as it was")
        else:
            typer.echo(
                f"{record.period}: {record.record_count} records are as they were closed; "
                f"the root is {record.root}"
            )


@commands.command("prune")
def prune_month(
    period: Period,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Even if a billing system has not taken all of it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove the records of a closed month; its statement and all totals stay.

    It cannot be verified any more, nor its records corrected or exported: export them first. What
    comes late from before its end is on no bill then.

    Example: tollgate periods prune 202501
    """
    number = read_period_text(period)

    async def prune() -> None:
        async with _store() as (store, engine):
            total = (await read_period(engine, number)).record_count or 0
            with contextlib.ExitStack() as stack:
                bar = _Bar(stack, "removing")
                await store.prune(
                    number,
                    actor=command(),
                    on_lot=lambda count: bar.add(count, of=total),
                    is_forced=force,
                )

    asyncio.run(prune())
    show_month(period, as_json=as_json)


async def _close(period: int, *, wait_seconds: float) -> None:
    async with _store() as (store, engine):
        until = time.monotonic() + wait_seconds
        told: tuple[str, ...] = ()
        while (waiting := await _advance(store, period)) is not None:
            if time.monotonic() >= until:
                raise waiting
            if waiting.journal_ids != told:
                told = waiting.journal_ids
                await _tell_waiting(engine, waiting)
            await asyncio.sleep(_POLL_SECONDS)


async def _advance(store: PeriodStore, period: int) -> PeriodWaits | None:
    """Close a month, or return what it waits for."""
    with contextlib.ExitStack() as stack:
        progress = _Progress(_Bar(stack, f"hashing {period}"))
        try:
            await store.close(period, actor=command(), on_lot=progress.tell, may_go_on=lambda: True)
        except PeriodWaits as error:
            return error
    return None


async def _tell_waiting(engine: AsyncEngine, error: PeriodWaits) -> None:
    """Say which journals hold a month back, and how far each has come."""
    typer.echo(
        f"{error.period} is closing, and waits for what these journals have not delivered "
        "(Ctrl-C is safe; close it again to go on):",
        err=True,
    )
    for promise in await journal_promises(engine):
        if promise.journal_id in error.journal_ids:
            moment = rfc3339(moment_of(promise.complete_through_us))
            typer.echo(f"  {promise.journal_id}  complete through {moment}", err=True)
    typer.echo(
        "a journal that is lost for good is given up with `tollgate usage forget JOURNAL_ID`",
        err=True,
    )


async def _verify(period: int | None, *, noted: str | None) -> list[PeriodRecord]:
    async with _ledger() as engine:
        known = [record for record in await read_periods(engine) if record.state == "closed"]
        chosen = [record for record in known if period in (None, record.period)]
        if period is not None and not chosen:
            raise PeriodOpen(period)
        for record in chosen:
            if record.pruned_at_us is None:
                await _verify_one(engine, record)
            _check_digest(record, Statement.of(record, await read_totals(engine, record.period)))
        if noted is not None and (not chosen or chosen[-1].root != noted.strip().lower()):
            last = chosen[-1].period if chosen else 0
            raise PeriodBroken(last, "its root is not the one that was noted")
        return chosen


async def _verify_one(engine: AsyncEngine, record: PeriodRecord) -> None:
    with contextlib.ExitStack() as stack:
        progress = _Progress(_Bar(stack, f"reading {record.period}"))
        await verify_period(engine, record.period, on_lot=lambda link: progress.tell(record, link))


def _check_digest(record: PeriodRecord, statement: Statement) -> None:
    """Pass if the statement is the one that was closed.

    Raises:
        PeriodBroken: it is another one.
    """
    if statement.digest != record.digest:
        raise PeriodBroken(record.period, "its statement is another one")


@dataclass
class _Bar:
    """A bar on a terminal, shown once there is something to tell."""

    stack: contextlib.ExitStack
    label: str
    move: Callable[[int], None] | None = None

    def add(self, count: int, *, of: int) -> None:
        """Move it on."""
        if self.move is None:
            bar = typer.progressbar(length=of, label=self.label, file=sys.stderr)
            self.move = self.stack.enter_context(bar).update
        self.move(count)


@dataclass
class _Progress:
    """Tell how far the chain of a month has come."""

    bar: _Bar
    reached: int | None = None

    def tell(self, record: PeriodRecord, link: Link) -> None:
        """Move the bar to where the chain stands."""
        first = record.after_sequence
        reached = first if self.reached is None else self.reached
        length = (record.last_sequence or 0) - first
        self.bar.add(link.through_sequence - reached, of=length)
        self.reached = link.through_sequence


@contextlib.asynccontextmanager
async def _ledger() -> AsyncIterator[AsyncEngine]:
    async with opened_database(load_settings(), answer_seconds=_ANSWER_SECONDS) as engine:
        yield engine


@contextlib.asynccontextmanager
async def _store() -> AsyncIterator[tuple[PeriodStore, AsyncEngine]]:
    async with _ledger() as engine, open_store(load_settings()) as store:
        yield store.part(PeriodStore), engine


def _show(document: PeriodDocument) -> None:
    """Print a month, and its lines by tenant and model."""
    summary = document.model_dump(mode="json", exclude={"statement", "waiting_for"})
    width = max(len(name) for name in summary)
    for name, value in summary.items():
        typer.echo(f"{name:<{width}}  {'-' if value is None else value}")
    if document.statement is None:
        return
    typer.echo("")
    show_table(
        [
            {"tenant_id": tenant.tenant_id, **line.model_dump()}
            for tenant in document.statement.tenants
            for line in tenant.models
        ],
        columns=("tenant_id", "model", "requests", "rows", "units"),
    )


def _verified(record: PeriodRecord) -> dict[str, object]:
    return {
        "period": record.period,
        "record_count": record.record_count,
        "root": record.root,
        "digest": record.digest,
        "pruned": record.pruned_at_us is not None,
    }
