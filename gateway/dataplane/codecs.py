"""Choose the codec of a prediction from what its path and its headers say."""

import importlib
from collections.abc import Iterable
from functools import partial
from typing import Any, Final

from gateway.dataplane.codec import Codec
from gateway.dataplane.csv_table import read_csv, write_csv
from gateway.dataplane.media_types import MediaType, preferred, read_media_type
from gateway.dataplane.oip import OipCodec
from gateway.dataplane.oip_answer import HEADER_LENGTH
from gateway.dataplane.paths import INFER
from gateway.dataplane.table_codec import AnswerForm, RequestForm, TableCodec
from gateway.dataplane.v1 import V1Codec
from gateway.errors import MediaTypeUnsupported

JSON: Final = "application/json"
CSV: Final = "text/csv"
ARROW: Final = "application/vnd.apache.arrow.stream"
ARROW_FILE: Final = "application/vnd.apache.arrow.file"

_V1: Final = V1Codec()
_PLAIN: Final = frozenset((b"", b"application/json", b"application/x-www-form-urlencoded"))
"""What clients of V1 send: nothing, the truth, or what their tools do by themselves."""
_ANYTHING: Final = frozenset((b"", b"*/*", b"application/json"))


def _import_arrow() -> Any:  # noqa: ANN401 - a module
    """Import the module that needs the extra `arrow`; None where that is not installed."""
    try:
        return importlib.import_module("gateway.dataplane.arrow_table")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "pyarrow":
            raise
        return None


_ARROW_TABLE: Final = _import_arrow()
_REQUESTS: Final = {
    True: RequestForm("csv", read_csv),
    False: RequestForm("csv", partial(read_csv, has_header=False), "without header"),
}
"""Forms of CSV, by whether there is a header."""
_ANSWERS: Final[dict[str, AnswerForm | None]] = {
    JSON: None,
    CSV: AnswerForm(b"text/csv; charset=utf-8; header=present", write_csv, is_flat=True),
}
if _ARROW_TABLE is not None:
    _ANSWERS[ARROW] = AnswerForm(ARROW.encode(), _ARROW_TABLE.write_arrow, is_flat=False)


def choose_codec(operation: str, headers: Iterable[tuple[bytes, bytes]]) -> Codec:
    """Return the codec of one request; it reads the body and writes the answer.

    On `:predict` a body is JSON unless Content-Type says that it is a table: clients of V1 name any
    type or none. The answer is what Accept wants most, and the form of the request where it wants
    nothing of what there is.

    Raises:
        RequestInvalid: a header that says how to read the body makes no sense.
        MediaTypeUnsupported: a table in a form that is not read here.
    """
    if operation == INFER:
        return OipCodec.of_headers(headers)
    content_type = accept = b""
    for name, value in headers:
        if name == b"content-type":
            content_type = value
        elif name == b"accept":
            accept = value
    if accept in _ANYTHING and content_type in _PLAIN:
        return _V1
    return _choose(read_media_type(content_type), accept)


def form_of(operation: str, headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Write down what `choose_codec` goes by: requests that differ in it may be answered otherwise.

    V1's JSON has one form, whatever its clients call it.
    """
    if operation == INFER:
        return "".join(value.decode("latin-1") for name, value in headers if name == HEADER_LENGTH)
    codec = choose_codec(operation, headers)
    return codec.form if isinstance(codec, TableCodec) else ""


def _choose(content: MediaType, accept: bytes) -> Codec:
    request = _request_form(content)
    own = content.name if request is not None else JSON
    offered = [own, *(name for name in _ANSWERS if name != own)]
    answer = _ANSWERS[preferred(accept or b"*/*", offered) or own]
    return _V1 if request is None and answer is None else TableCodec(request, answer)


def _request_form(content: MediaType) -> RequestForm | None:
    """Find the form of a body; None is JSON."""
    if content.name == CSV:
        if content.parameters.get("charset", "utf-8") not in ("utf-8", "us-ascii"):
            raise MediaTypeUnsupported("CSV is read in UTF-8 alone")
        return _REQUESTS[content.parameters.get("header") != "absent"]
    if content.name == ARROW_FILE:
        raise MediaTypeUnsupported(f"of Arrow the stream is read, not the file: send {ARROW}")
    if content.name != ARROW:
        return None
    if _ARROW_TABLE is None:
        raise MediaTypeUnsupported("Arrow needs the extra `arrow` on the server: send JSON or CSV")
    return RequestForm("arrow", _ARROW_TABLE.read_arrow)
