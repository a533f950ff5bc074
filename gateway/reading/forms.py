"""Choose the form of an answer by Accept, and whether it is compressed by Accept-Encoding.

Source: RFC 9110 sections 12.5.1, 12.5.3 and 15.5.7.
"""

import importlib
import importlib.util
from collections.abc import Sequence
from typing import Final, NamedTuple

from gateway.dataplane.media_types import preferred, read_media_type
from gateway.errors import NotAcceptable
from gateway.reading.columns import Column
from gateway.reading.writers import (
    CsvWriter,
    JsonWriter,
    LinesWriter,
    MakeWriter,
    TableWriter,
    Write,
)

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
CSV: Final = "text/csv"
PARQUET: Final = "application/vnd.apache.parquet"


class Form(NamedTuple):
    """A form in which a table can be handed out."""

    media_type: str
    content_type: str
    make_writer: MakeWriter
    is_text: bool
    """Worth compressing; Parquet is compressed by itself."""


def _write_parquet(write: Write, columns: Sequence[Column]) -> TableWriter:
    """Write Parquet; its library is loaded by the first who wants it, as it is slow to load."""
    module = importlib.import_module("gateway.reading.parquet")
    writer: TableWriter = module.ParquetWriter(write, columns)
    return writer


_HAS_PARQUET: Final = importlib.util.find_spec("pyarrow") is not None
"""Whether the extra `arrow` is installed."""

JSON_FORM: Final = Form(JSON, JSON, JsonWriter, is_text=True)
NDJSON_FORM: Final = Form(NDJSON, NDJSON, LinesWriter, is_text=True)
CSV_FORM: Final = Form(CSV, "text/csv; charset=utf-8; header=present", CsvWriter, is_text=True)
PARQUET_FORM: Final = (
    Form(PARQUET, PARQUET, _write_parquet, is_text=False) if _HAS_PARQUET else None
)
_OFFERED: Final = (JSON, NDJSON, CSV, PARQUET)
_FORMS: Final = {
    form.media_type: form
    for form in (JSON_FORM, NDJSON_FORM, CSV_FORM, PARQUET_FORM)
    if form is not None
}


def choose_form(accept: str | None) -> Form:
    """Return the form that an Accept wants most; JSON where it says nothing.

    Raises:
        NotAcceptable: it wants none of them, or Parquet alone where that cannot be written.
    """
    wanted = (accept or "*/*").encode("latin-1", "replace")
    name = preferred(wanted, [name for name in _OFFERED if name in _FORMS])
    if name is not None:
        return _FORMS[name]
    if preferred(wanted, [PARQUET]) is not None:
        raise NotAcceptable("Parquet needs the extra `arrow` on the server")
    raise NotAcceptable(f"the answer can be {', '.join(_FORMS)}")


def wants_gzip(accept_encoding: str | None) -> bool:
    """Tell whether a client can read gzip, whatever else it can read."""
    for part in (accept_encoding or "").encode("latin-1", "replace").split(b","):
        coding = read_media_type(part)
        if coding.name in ("gzip", "x-gzip"):
            weight = coding.parameters.get("q", "1")
            return weight.replace(".", "").strip("0") != ""
    return False
