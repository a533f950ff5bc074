"""Say which columns the tables have that the ledger is handed out in."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from typing import Any, Final, NamedTuple

from gateway.report_query import UsageDocument
from gateway.usage.reading import LedgerRecord
from gateway.usage.reports import Group

_SECOND_US: Final = 1_000_000
_SECONDS_KNOWN: Final = 4096

Cells = tuple[Any, ...]


class Kind(Enum):
    """What the cells of a column are; a moment is a number of microseconds since the epoch."""

    TEXT = "text"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    MOMENT = "moment"


class Column(NamedTuple):
    """One column."""

    name: str
    kind: Kind


RECORD_COLUMNS: Final = (
    Column("id", Kind.TEXT),
    Column("counted_at", Kind.MOMENT),
    Column("occurred_at", Kind.MOMENT),
    Column("tenant", Kind.TEXT),
    Column("key", Kind.TEXT),
    Column("model", Kind.TEXT),
    Column("version", Kind.TEXT),
    Column("protocol", Kind.TEXT),
    Column("rows", Kind.INTEGER),
    Column("units", Kind.INTEGER),
    Column("outcome", Kind.TEXT),
    Column("corrects", Kind.TEXT),
    Column("test", Kind.BOOLEAN),
    Column("queue_us", Kind.INTEGER),
    Column("compute_us", Kind.INTEGER),
    Column("bytes_in", Kind.INTEGER),
    Column("bytes_out", Kind.INTEGER),
)
"""Those of a record, in the order of its fields without the sequence."""


def record_cells(records: Sequence[LedgerRecord]) -> list[Cells]:
    """Return the rows of some records, without their sequence numbers."""
    return [record[1:] for record in records]


def report_columns(group_by: Sequence[Group]) -> tuple[Column, ...]:
    """Return the columns of a report by some group keys."""
    keys = (Column(group, Kind.TEXT) for group in group_by)
    counts = (Column(name, Kind.INTEGER) for name in ("requests", "rows", "units"))
    return (Column("start", Kind.TEXT), Column("end", Kind.TEXT), *keys, *counts)


def report_cells(document: UsageDocument, columns: Sequence[Column]) -> list[Cells]:
    """Return the rows of a report."""
    return [tuple(getattr(line, column.name) for column in columns) for line in document.data]


def moment_text(moment_us: int) -> str:
    """Write a moment as `gateway.moments.rfc3339` does, sooner for many of the same second."""
    second, microsecond = divmod(moment_us, _SECOND_US)
    text = _second_text(second)
    return f"{text}.{microsecond:06d}Z" if microsecond else f"{text}Z"


@lru_cache(maxsize=_SECONDS_KNOWN)
def _second_text(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


WRITTEN: Final[dict[Kind, Callable[[Any], Any] | None]] = {
    Kind.TEXT: None,
    Kind.INTEGER: None,
    Kind.BOOLEAN: None,
    Kind.MOMENT: moment_text,
}
"""How a cell is written where JSON values are."""


def written_rows(columns: Sequence[Column], rows: Sequence[Cells]) -> list[list[Any]]:
    """Return rows whose cells are JSON values."""
    changed = [
        (place, write)
        for place, column in enumerate(columns)
        if (write := WRITTEN[column.kind]) is not None
    ]
    written = []
    for row in rows:
        cells = list(row)
        for place, write in changed:
            cells[place] = write(cells[place])
        written.append(cells)
    return written
