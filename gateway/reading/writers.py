"""Write tables piece by piece: as one JSON document, as lines of JSON, or as CSV.

Source: RFC 8259; NDJSON, "Newline Delimited JSON"; RFC 4180, and RFC 7111 section 3.1 for the
header line.
"""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import orjson

from gateway.reading.columns import Cells, Column, Kind, written_rows

Write = Callable[[bytes], object]

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


class TableWriter(Protocol):
    """Write one table: `add` any number of times, then `end` once.

    What is written depends on the rows and not on how they were split.
    """

    def add(self, rows: Sequence[Cells]) -> None:
        """Write some rows."""
        ...

    def end(self, links: Mapping[str, str]) -> None:
        """Write what stands behind the rows; `links` only where the form has a place for them."""
        ...


MakeWriter = Callable[[Write, Sequence[Column]], TableWriter]


class JsonWriter:
    """Write one document: `data`, and the links."""

    def __init__(self, write: Write, columns: Sequence[Column]) -> None:
        self._write = write
        self._columns = columns
        self._names = [column.name for column in columns]
        self._before = b'{"data":['

    def add(self, rows: Sequence[Cells]) -> None:
        """Write some rows."""
        if not rows:
            return
        objects = [
            dict(zip(self._names, cells, strict=True))
            for cells in written_rows(self._columns, rows)
        ]
        self._write(self._before + orjson.dumps(objects)[1:-1])
        self._before = b","

    def end(self, links: Mapping[str, str]) -> None:
        """Write the links as members."""
        opened = self._before if self._before != b"," else b""
        members = orjson.dumps(dict(links))[1:-1]
        self._write(opened + b"]" + (b"," + members if members else b"") + b"}")


class LinesWriter:
    """Write an object on each line."""

    def __init__(self, write: Write, columns: Sequence[Column]) -> None:
        self._write = write
        self._columns = columns
        self._names = [column.name for column in columns]

    def add(self, rows: Sequence[Cells]) -> None:
        """Write some rows."""
        option = orjson.OPT_APPEND_NEWLINE
        self._write(
            b"".join(
                orjson.dumps(dict(zip(self._names, cells, strict=True)), option=option)
                for cells in written_rows(self._columns, rows)
            )
        )

    def end(self, links: Mapping[str, str]) -> None:
        """Write nothing: the links stand in the header of the answer."""


class CsvWriter:
    """Write a header line, and a line for each row.

    Threat: a spreadsheet runs a cell that begins like a formula, and names are the caller's to
    choose; such a text gets an apostrophe before it, which spreadsheets do not show.
    """

    def __init__(self, write: Write, columns: Sequence[Column], *, has_header: bool = True) -> None:
        self._write = write
        self._columns = columns
        self._texts = [place for place, column in enumerate(columns) if column.kind is Kind.TEXT]
        self._header = [column.name for column in columns] if has_header else []

    def add(self, rows: Sequence[Cells]) -> None:
        """Write some rows."""
        self._write_lines([self._safe(cells) for cells in written_rows(self._columns, rows)])

    def end(self, links: Mapping[str, str]) -> None:  # noqa: ARG002 - no place for them
        """Write the header where there was no row."""
        self._write_lines([])

    def _safe(self, cells: list[Any]) -> list[Any]:
        for place in self._texts:
            if str(cells[place]).startswith(_FORMULA):
                cells[place] = f"'{cells[place]}"
        return [_word(cell) for cell in cells]

    def _write_lines(self, lines: Sequence[Sequence[Any]]) -> None:
        written = io.StringIO(newline="")
        writer = csv.writer(written)
        if self._header:
            writer.writerow(self._header)
            self._header = []
        writer.writerows(lines)
        self._write(written.getvalue().encode())


def _word(cell: object) -> object:
    """Write a truth value as JSON does."""
    return str(cell).lower() if isinstance(cell, bool) else cell
