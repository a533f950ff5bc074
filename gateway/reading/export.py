"""Write the ledger into a file, page by page, so that it can be stopped anywhere and gone on with.

Beside the file stand `FILE.part`, whose pages are whole, and `FILE.part.json`, which says how many
bytes of it count and where to go on. What was begun has one end, so the result is the same bytes
however often it was stopped. The file gets its name when it is done.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Final, Literal, NamedTuple, Protocol

import orjson
from pydantic import BaseModel, ValidationError

from gateway.errors import ExportFailed, NotAcceptable
from gateway.moments import microseconds, parse_moment
from gateway.reading.columns import RECORD_COLUMNS, Cells, Kind
from gateway.reading.forms import PARQUET_FORM
from gateway.reading.writers import CsvWriter, LinesWriter, TableWriter, Write

ExportForm = Literal["ndjson", "csv", "parquet"]

PAGE_RECORDS: Final = 5000
_PIECE_BYTES: Final = 1024 * 1024
_UNITS: Final = [column.name for column in RECORD_COLUMNS].index("units")
_ROWS: Final = [column.name for column in RECORD_COLUMNS].index("rows")


class SourcePage(NamedTuple):
    """Some records, and where those behind them begin."""

    rows: Sequence[Cells]
    next: str


class Opening(NamedTuple):
    """What an export that begins needs to know."""

    position: str
    end: str
    """The first moment that will not be in it: the one asked for, or up to which all is counted."""

    requests: int
    """About as many records as there will be, for those who watch."""


class Source(Protocol):
    """Where records come from: the database, or a server."""

    def begin(self) -> Opening:
        """Find out where an export ends that begins now.

        Raises:
            ExportFailed: nothing that was asked for is complete yet.
        """
        ...

    def until(self, end: str) -> "Source":
        """Return the same up to a moment."""
        ...

    def read(self, position: str) -> SourcePage:
        """Read the page that begins at a position; an empty one is the end."""
        ...


class Progress(BaseModel):
    """How far an export has come; of which query it is, and where that ends."""

    query: dict[str, str | bool | None]
    form: ExportForm
    position: str
    end: str
    """The first moment that is not in it; everything before was complete when it was begun."""

    size: int = 0
    records: int = 0
    rows: int = 0
    units: int = 0


class Exported(BaseModel):
    """What is in a finished file."""

    path: str
    records: int
    rows: int
    units: int
    bytes: int
    sha256: str
    until: str


class Export:
    """One file that is being written."""

    def __init__(self, output: Path, form: ExportForm) -> None:
        """Prepare to write or to go on.

        Raises:
            NotAcceptable: Parquet cannot be written here.
        """
        if form == "parquet" and PARQUET_FORM is None:
            raise NotAcceptable("Parquet needs the extra `arrow`")
        self._output = output
        self._form = form
        self._part = output.with_name(f"{output.name}.part")
        self._state = output.with_name(f"{output.name}.part.json")

    def begun(self, query: dict[str, str | bool | None]) -> Progress | None:
        """Return how far this export has come, if it was begun.

        Raises:
            ExportFailed: what was begun is another one.
        """
        try:
            progress = Progress.model_validate_json(self._state.read_bytes())
            is_whole = self._part.stat().st_size >= progress.size
        except (FileNotFoundError, ValidationError):
            return None
        if (progress.query, progress.form) != (query, self._form):
            raise ExportFailed(f"{self._part} is of another export: remove it or write elsewhere")
        return progress if is_whole else None

    def run(
        self, source: Source, progress: Progress, *, on_page: Callable[[int], object]
    ) -> Exported:
        """Write what is missing, and give the file its name.

        Raises:
            OSError: it cannot be written.
        """
        with self._opened(progress.size) as part:
            while (page := source.read(progress.position)).rows:
                self._append(part, page, progress)
                on_page(len(page.rows))
                if len(page.rows) < PAGE_RECORDS:
                    break
            else:
                self._append(part, SourcePage((), progress.position), progress)
        finished = self._finished_part()
        size, digest = _measure(finished)
        finished.replace(self._output)
        for left in (self._state, self._part):
            left.unlink(missing_ok=True)
        return Exported(
            path=str(self._output),
            records=progress.records,
            rows=progress.rows,
            units=progress.units,
            bytes=size,
            sha256=digest,
            until=progress.end,
        )

    def _opened(self, size: int) -> IO[bytes]:
        """Open what was written so far, without the beginning of a page behind it."""
        part = os.fdopen(os.open(self._part, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
        part.truncate(size)
        part.seek(size)
        return part

    def _append(self, part: IO[bytes], page: SourcePage, progress: Progress) -> None:
        """Write a page, and then that it is written: a crash between writes it again."""
        writer = self._make_writer(part.write, is_first=progress.size == 0)
        writer.add(page.rows)
        writer.end({})
        part.flush()
        os.fsync(part.fileno())
        progress.position = page.next
        progress.size = part.tell()
        progress.records += len(page.rows)
        progress.rows += sum(row[_ROWS] for row in page.rows)
        progress.units += sum(row[_UNITS] for row in page.rows)
        self._keep(progress)

    def _keep(self, progress: Progress) -> None:
        fresh = self._state.with_name(f"{self._state.name}.new")
        with fresh.open("w", encoding="utf-8") as file:
            file.write(progress.model_dump_json())
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._state)

    def _make_writer(self, write: Write, *, is_first: bool) -> TableWriter:
        if self._form == "csv":
            return CsvWriter(write, RECORD_COLUMNS, has_header=is_first)
        return LinesWriter(write, RECORD_COLUMNS)

    def _finished_part(self) -> Path:
        """Return the file that gets the name: of Parquet, one made from the lines."""
        if self._form != "parquet" or PARQUET_FORM is None:
            return self._part
        made = self._output.with_name(f"{self._output.name}.part.parquet")
        with self._part.open("rb") as lines, made.open("wb") as file:
            writer = PARQUET_FORM.make_writer(file.write, RECORD_COLUMNS)
            while rows := list(islice(lines_cells(lines), PAGE_RECORDS)):
                writer.add(rows)
            writer.end({})
            file.flush()
            os.fsync(file.fileno())
        return made


def lines_cells(lines: Iterator[bytes]) -> Iterator[Cells]:
    """Read rows of records back from lines of JSON."""
    for line in lines:
        members = orjson.loads(line)
        yield tuple(
            microseconds(parse_moment(members[column.name]))
            if column.kind is Kind.MOMENT
            else members[column.name]
            for column in RECORD_COLUMNS
        )


def _measure(path: Path) -> tuple[int, str]:
    """Return the size and the SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
    return path.stat().st_size, digest.hexdigest()
