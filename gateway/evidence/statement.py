"""Read a statement: the records of `GET /v1/usage/records`, as NDJSON, CSV or JSON.

NDJSON and CSV are read line by line. A JSON document is read whole, so a long statement should not
be one. A name that ends in `.gz` is inflated.
"""

import csv
import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from gateway.errors import EvidenceUnreadable


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One record of a statement, as far as a receipt can speak of it."""

    request_id: str
    tenant_id: str
    model: str
    version: str
    rows: int
    units: int
    outcome: str
    corrects: str


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """Open a text file that may be compressed."""
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8", errors="replace", newline="") as inflated:
            yield inflated
    else:
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            yield file


def read_statement(path: Path) -> Iterator[StatementLine]:
    """Read the lines of a statement.

    Raises:
        EvidenceUnreadable: it is none; the first line that does not fit is named.
        OSError: the file cannot be read.
    """
    with open_text(path) as file:
        taken = 0
        try:
            for record in _records(file):
                yield _line_of(record)
                taken += 1
        except (ValueError, KeyError, TypeError, csv.Error, EOFError):
            raise EvidenceUnreadable(f"{path}: record {taken + 1} is none of a statement") from None


def _records(file: TextIO) -> Iterable[Mapping[str, Any]]:
    first = file.readline()
    while first and not first.strip():
        first = file.readline()
    if first.lstrip()[:1] not in ("{", "["):
        return csv.DictReader(_again(first, file))
    try:
        document = json.loads(first)
    except ValueError:
        document = json.loads(first + file.read())
    if isinstance(document, list):
        return document
    if "data" in document:
        listed: list[Mapping[str, Any]] = document["data"]
        return listed
    return (json.loads(line) for line in _again(first, file) if line.strip())


def _again(first: str, file: TextIO) -> Iterator[str]:
    yield first
    yield from file


def _line_of(record: Mapping[str, Any]) -> StatementLine:
    return StatementLine(
        request_id=str(record["id"] if "id" in record else record["request_id"]),
        tenant_id=str(record.get("tenant") or record.get("tenant_id") or ""),
        model=str(record["model"]),
        version=str(record["version"]),
        rows=int(record["rows"]),
        units=int(record["units"]),
        outcome=str(record.get("outcome") or "ok"),
        corrects=str(record.get("corrects") or ""),
    )
