"""Read and write tables as CSV.

Source: RFC 4180, and RFC 7111 section 3.1 for the header line; UTF-8, a byte order mark is passed
over. Cells are separated by commas alone, and numbers have a point.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from math import isinf
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from gateway.errors import RequestInvalid
from inference.errors import InputInvalid, TooManyRows
from inference.fields import REQUIRED
from inference.table import Cells, Column, Table

MAX_LINE_CHARACTERS: Final = 1024 * 1024

_NUMERALS: Final = frozenset("0123456789+-.eE,")
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,20}")
_NOT_FINITE: Final = {
    sign + word: float(sign + word)
    for sign in ("", "+", "-")
    for word in ("nan", "inf", "infinity")
}
_TRUTH: Final = {"true": True, "false": False}


def read_csv(body: bytes, table: Table, max_rows: int, *, has_header: bool = True) -> Cells:
    """Read a table: a header line with the columns in any order, or all columns in their order.

    A cell that is not what its column takes stays text, for the contract to refuse by row.

    Raises:
        RequestInvalid: not CSV in UTF-8, or a line is too long.
        InputInvalid: the header or the number of cells does not fit, or there is no row.
        TooManyRows: more than `max_rows`.
    """
    rows = csv.reader(_lines(body), strict=True)
    try:
        names = next(rows, []) if has_header else [column.name for column in table.columns]
        records = list(islice(rows, max_rows + 1))
    except csv.Error as error:
        raise RequestInvalid(f"the body is not CSV: {error}") from None
    except UnicodeDecodeError:
        raise RequestInvalid("the body is not CSV in UTF-8") from None
    while records and not records[-1]:
        records.pop()
    _check(names, records, table)
    if len(records) > max_rows:
        raise TooManyRows(max_rows)
    columns = {column.name: column for column in table.columns}
    cells = zip(*records, strict=True)
    return {name: _convert(columns[name], list(texts)) for name, texts in zip(names, cells)}  # noqa: B905 - `_check` compared them


def write_csv(columns: Mapping[str, NDArray[Any]]) -> bytes:
    """Write columns of one length, with a header line; numbers are as short as is exact.

    A float that is not finite is `NaN`, `inf` or `-inf`.
    """
    written = io.StringIO(newline="")
    writer = csv.writer(written)
    writer.writerow(columns)
    writer.writerows(zip(*map(_texts, columns.values()), strict=True))
    return written.getvalue().encode()


def _lines(body: bytes) -> Iterator[str]:
    """Decode line by line, only as many as are asked for.

    Threat: 64 MiB of line feeds, or a line of 64 MiB, would hold the event loop for seconds.
    """
    text = io.TextIOWrapper(io.BytesIO(body), encoding="utf-8-sig", newline="")
    for line in iter(partial(text.readline, MAX_LINE_CHARACTERS), ""):
        if len(line) == MAX_LINE_CHARACTERS:
            raise RequestInvalid(f"a line has {MAX_LINE_CHARACTERS} characters or more")
        yield line


def _check(names: Sequence[str], records: Sequence[Sequence[str]], table: Table) -> None:
    if not Counter(names).keys() <= {column.name for column in table.columns}:
        raise InputInvalid("the header has a column that the model does not take")
    if len(set(names)) < len(names):
        raise InputInvalid("the header has a column twice")
    if not records:
        raise InputInvalid("there is no row to predict")
    width = len(names)
    for row, record in enumerate(records):
        if len(record) != width:
            raise InputInvalid(f"row {row} has {len(record)} cells, and {width} are expected")


def _convert(column: Column, texts: list[str]) -> list[object]:
    if column.takes == "text":
        if column.missing is REQUIRED:
            return list(texts)
        return [text or None for text in texts]
    if column.takes == "number" and (numbers := _plain_numbers(texts)) is not None:
        return numbers
    read = _READERS[column.takes]
    return [read(text.strip(" \t")) for text in texts]


def _plain_numbers(texts: list[str]) -> list[object] | None:
    """Read a column of nothing but numerals at once; None where it must be read cell by cell."""
    if not _NUMERALS.issuperset("".join(texts)):
        return None
    try:
        numbers = list(map(float, texts))
    except ValueError:
        return None
    return None if any(map(isinf, numbers)) else list(numbers)


def _read_number(text: str) -> object:
    """Read a number; one beyond doubles stays text, since it is not infinite."""
    if not text:
        return None
    if _NUMBER.fullmatch(text) is not None:
        number = float(text)
        return text if isinf(number) else number
    return _NOT_FINITE.get(text.lower(), text)


def _read_integer(text: str) -> object:
    return int(text) if _INTEGER.fullmatch(text) is not None else _read_number(text)


def _read_boolean(text: str) -> object:
    return _TRUTH.get(text.lower(), text) if text else None


_READERS: Final[Mapping[str, Callable[[str], object]]] = {
    "number": _read_number,
    "integer": _read_integer,
    "boolean": _read_boolean,
}


def _texts(values: NDArray[Any]) -> list[str]:
    if values.dtype.kind == "O":
        return [_text(value) for value in values.tolist()]
    if not len(values):
        return []
    packed = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)
    texts = packed[1:-1].decode().split(",")
    if values.dtype.kind == "f":
        for index in np.flatnonzero(~np.isfinite(values)).tolist():
            value = values[index]
            texts[index] = "NaN" if np.isnan(value) else ("inf" if value > 0 else "-inf")
    return texts


def _text(value: object) -> str:
    if not isinstance(value, bytes):
        return str(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise RequestInvalid("an output is not text, which a table cannot carry") from None
