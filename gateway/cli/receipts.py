"""`tollgate receipts`: check receipts against a statement, without the server and its secrets."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.console import Json, show_json
from gateway.evidence.receipt_check import Finding, Found, ReceiptCheck, open_check
from gateway.evidence.receipt_keys import load_receipt_keys
from gateway.evidence.receipt_text import ReceiptVerifier
from gateway.evidence.statement import open_text, read_statement

commands = typer.Typer(
    help="Check the receipts of answers against a statement.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_ONLY_WITHOUT_RECEIPT = 3


def register(program: typer.Typer) -> None:
    """Add the commands."""
    program.add_typer(commands, name="receipts")


@commands.callback()
def choose() -> None:
    """Check the receipts of answers against a statement."""


@commands.command("verify")
def verify(
    *,
    receipts: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Receipts, one on a line, or captured headers; or .gz"),
    ],
    statement: Annotated[
        Path,
        typer.Option(metavar="EXPORT", help="Records of /v1/usage/records: NDJSON, CSV or JSON."),
    ],
    keys: Annotated[
        str, typer.Option(metavar="KEYS", help="Published keys of receipts: a file or a URL.")
    ],
    as_json: Json = False,
) -> None:
    """Check that every receipt is genuine and on the statement once, with the same content.

    Exits with 0 if all fits, with 1 if a receipt does not, and with 3 if only the statement has
    lines of which there is no receipt, among them corrections that add. The keys are
    at /.well-known/tollgate-receipt-keys.json.

    Example: tollgate receipts verify receipts.txt --statement november.ndjson --keys keys.json
    """
    verifier = ReceiptVerifier(load_receipt_keys(keys))
    with contextlib.ExitStack() as stack:
        check = stack.enter_context(open_check(lambda told: typer.echo(told, err=True)))
        check.take_statement(read_statement(statement))
        lines = stack.enter_context(open_text(receipts))
        told = _tell(_all(check, lines, verifier), check, as_json=as_json)
    found = {finding for finding in told if finding.is_fault}
    if found - {Finding.WITHOUT_RECEIPT}:
        raise typer.Exit(1)
    if found:
        raise typer.Exit(_ONLY_WITHOUT_RECEIPT)


def _all(check: ReceiptCheck, lines: Iterator[str], verifier: ReceiptVerifier) -> Iterator[Found]:
    yield from check.take_receipts(lines, verifier)
    yield from check.differences()


def _tell(found: Iterator[Found], check: ReceiptCheck, *, as_json: bool) -> set[Finding]:
    """Print what was found, and return its kinds."""
    kinds: set[Finding] = set()
    listed = []
    for one in found:
        kinds.add(one.finding)
        if as_json:
            listed.append(_document(one))
        else:
            typer.echo(_line(one))
    counts = check.counts
    if as_json:
        members = {name: getattr(counts, name) for name in counts.__slots__}
        show_json(members | {"data": listed})
    else:
        typer.echo(
            f"{counts.receipts} receipts, {counts.repeated} of them again and {counts.tests} of "
            f"test keys; {counts.statement_lines} lines of the statement, {counts.lost} of answers "
            f"that were lost; {counts.receipt_units} units on receipts and "
            f"{counts.statement_units} on the statement, {counts.lost_units} of it of lost answers "
            f"and {counts.correction_units} of corrections; {_verdict(kinds)}"
        )
    return kinds


def _verdict(kinds: set[Finding]) -> str:
    is_fit = not any(kind.is_fault for kind in kinds)
    return "all fit" if is_fit else "what does not fit stands above"


def _line(one: Found) -> str:
    place = "" if one.line is None else f"line {one.line}: "
    detail = f": {one.detail}" if one.detail else ""
    return f"{place}{one.request_id or 'receipt'} is {one.finding}{detail}"


def _document(one: Found) -> dict[str, object]:
    return {
        "finding": one.finding.name.lower(),
        "request_id": one.request_id or None,
        "line": one.line,
        "detail": one.detail,
    }
