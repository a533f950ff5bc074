"""Print documents for people or, with `--json`, for programs."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from pydantic import BaseModel

Json = Annotated[bool, typer.Option("--json", help="Print JSON, as the HTTP operation answers.")]


def comma_list(text: str | None) -> tuple[str, ...] | None:
    """Read the words of a comma list; an option that is not given stays None."""
    if text is None:
        return None
    return tuple(word.strip() for word in text.split(",") if word.strip())


def show(document: BaseModel, *, as_json: bool) -> None:
    """Print one thing: its members line by line, or its JSON."""
    if as_json:
        typer.echo(document.model_dump_json(indent=2))
        return
    members = document.model_dump(mode="json")
    width = max(len(name) for name in members)
    for name, value in members.items():
        typer.echo(f"{name:<{width}}  {_cell(value)}")


def show_list(
    documents: Sequence[BaseModel], *, columns: Sequence[str], as_json: bool, member: str = "data"
) -> None:
    """Print many things: a table of some columns, or JSON with everything."""
    rows = [document.model_dump(mode="json") for document in documents]
    if as_json:
        show_json({member: rows, "next": None})
        return
    show_table(rows, columns=columns)


def show_json(document: object) -> None:
    """Print any JSON value."""
    typer.echo(json.dumps(document, indent=2))


def show_table(rows: Sequence[Mapping[str, Any]], *, columns: Sequence[str]) -> None:
    """Print an aligned table with a heading; the last column is not padded."""
    cells = [[_cell(row[column]) for column in columns] for row in rows]
    lines = [[column.upper() for column in columns], *cells]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        typer.echo("  ".join(padded).rstrip())


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ",".join(str(item) for item in value) or "-"
    if isinstance(value, dict):
        return " ".join(f"{name}={_cell(item)}" for name, item in value.items())
    return str(value)
