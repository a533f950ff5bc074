"""CSV and Arrow on `:predict`, one row for each way to ask and to be answered.

Source: RFC 4180 and RFC 7111 (CSV), Arrow columnar format (IPC stream), RFC 9110 (negotiation).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pytest

from gateway.dataplane.codecs import ARROW, CSV, JSON
from tests.arrow_streams import read_stream, stream_of
from tests.load import Caller
from tests.serving import Answer, Server

CSV_ANSWER = "text/csv; charset=utf-8; header=present"


@dataclass(frozen=True)
class Row:
    """A request to a model, and what must come back with 200."""

    model: str
    body: bytes | Mapping[str, Any]
    answer: object
    content_type: str = CSV
    accept: str = "*/*"
    answer_type: str = CSV_ANSWER


@dataclass(frozen=True)
class Refusal:
    """A request to a model, and how it is refused."""

    model: str
    body: bytes
    status: int
    content_type: str = CSV
    places: set[tuple[int | None, str]] = field(default_factory=set)


X2 = pa.array([1.0, 2.5], pa.float32())
SERVED = {
    "CSV": Row("scaled", b"x\r\n1\r\n2.5\r\n", b"y\r\n2.0\r\n5.0\r\n"),
    "CSV, columns of an input": Row("linear", b"x[2],x[0],x[1]\n3,1,2\n", b"y\r\n321.0\r\n"),
    "CSV without a header": Row(
        "linear", b"1,2,3\n", b"y\r\n321.0\r\n", content_type="text/csv; header=absent"
    ),
    "CSV, two inputs": Row("sum", b"b,a\n2,1\n", b"total\r\n3.0\r\n"),
    "CSV, two outputs": Row("parts", b"x\n1\n", b"double,negative\r\n2.0,-1.0\r\n"),
    "CSV, named features": Row("named", b"amount\n21\n", b"y\r\n42.0\r\n"),
    "CSV, text": Row("greeting", 'text\n"a,b"\nü\n'.encode(), 'echo\r\n"a,b"\r\nü\r\n'.encode()),
    "CSV with a default charset": Row(
        "scaled", b"x\n1\n", b"y\r\n2.0\r\n", content_type="text/csv;charset=UTF-8"
    ),
    "CSV, infinity": Row("reciprocal", b"x\n0\n", b"y\r\ninf\r\n"),
    "CSV, not a number": Row("reciprocal", b"x\nNaN\n", b"y\r\nNaN\r\n"),
    "CSV, a missing number": Row("reciprocal", b'x\n""\n', b"y\r\nNaN\r\n"),
    "CSV to JSON": Row("scaled", b"x\n1\n", {"predictions": [2.0]}, accept=JSON, answer_type=JSON),
    "JSON to CSV": Row(
        "scaled", {"instances": [1, 2.5]}, b"y\r\n2.0\r\n5.0\r\n", content_type=JSON, accept=CSV
    ),
    "JSON in columns to CSV": Row(
        "sum", {"inputs": {"a": [1], "b": [2]}}, b"total\r\n3.0\r\n", content_type=JSON, accept=CSV
    ),
    "JSON to CSV by weight": Row(
        "scaled",
        {"instances": [1]},
        b"y\r\n2.0\r\n",
        content_type=JSON,
        accept="application/json;q=0.5, text/csv",
    ),
    "JSON, and an Accept that names nothing": Row(
        "scaled",
        {"instances": [1]},
        {"predictions": [2.0]},
        content_type=JSON,
        accept="text/html",
        answer_type=JSON,
    ),
    "Arrow": Row("scaled", stream_of({"x": X2}), {"y": [2.0, 5.0]}, ARROW, answer_type=ARROW),
    "Arrow, two batches": Row(
        "scaled", stream_of({"x": X2}, {"x": X2}), {"y": [2.0, 5.0] * 2}, ARROW, answer_type=ARROW
    ),
    "Arrow, decimals": Row(
        "scaled",
        stream_of({"x": X2.cast(pa.decimal128(9, 2))}),
        {"y": [2.0, 5.0]},
        ARROW,
        answer_type=ARROW,
    ),
    "Arrow, a dictionary": Row(
        "greeting",
        stream_of({"text": pa.array(["a", "b", "a"]).dictionary_encode()}),
        {"echo": ["a", "b", "a"]},
        ARROW,
        answer_type=ARROW,
    ),
    "Arrow, large text": Row(
        "greeting",
        stream_of({"text": pa.array(["ü"], pa.large_string())}),
        {"echo": ["ü"]},
        ARROW,
        answer_type=ARROW,
    ),
    "Arrow, a null": Row(
        "scaled",
        stream_of({"x": pa.array([1.0, None])}),
        b"y\r\n2.0\r\nNaN\r\n",
        ARROW,
        accept=CSV,
    ),
    "Arrow to JSON": Row(
        "scaled", stream_of({"x": X2}), {"predictions": [2.0, 5.0]}, ARROW, JSON, JSON
    ),
    "CSV to Arrow": Row("scaled", b"x\n1\n", {"y": [2.0]}, accept=ARROW, answer_type=ARROW),
    "JSON to Arrow": Row(
        "parts", {"instances": [1]}, {"double": [2.0], "negative": [-1.0]}, JSON, ARROW, ARROW
    ),
}
NEGATIVE = stream_of({"amount": pa.array([1, -1])})
REFUSED = {
    "CSV, contract": Refusal(
        "named", b"amount\n1\n-1\nx\n", 422, places={(1, "amount"), (2, "amount")}
    ),
    "CSV, a missing value": Refusal("named", b'amount\n""\n', 422, places={(0, "amount")}),
    "CSV, a missing column": Refusal("sum", b"a\n1\n", 422, places={(None, "b")}),
    "CSV, an unknown column": Refusal("sum", b"a,b,c\n1,2,3\n", 400),
    "CSV, too many rows": Refusal("scaled", b"x\n" + b"1\n" * 4097, 413),
    "CSV, another charset": Refusal("scaled", b"x\n1\n", 415, "text/csv; charset=utf-16"),
    "CSV in Arrow's name": Refusal("scaled", b"x\n1\n", 400, ARROW),
    "Arrow in CSV's name": Refusal("scaled", NEGATIVE, 400),
    "Arrow, contract": Refusal("named", NEGATIVE, 422, ARROW, {(1, "amount")}),
    "Arrow, too many rows": Refusal("scaled", stream_of({"x": pa.nulls(4097)}), 413, ARROW),
    "Arrow, compressed": Refusal(
        "scaled", stream_of({"x": pa.array([1.0] * 99)}, compression="zstd"), 415, ARROW
    ),
    "Arrow, the file": Refusal("scaled", b"ARROW1\0\0", 415, "application/vnd.apache.arrow.file"),
    "a body over the cap": Refusal("scaled", b"x\n" + b"1" * 70_000, 413),
    "a model that takes no table": Refusal("image", b"x\n1\n", 415),
}


def ask(server: Server, caller: Caller, row: Row | Refusal, *, accept: str = "*/*") -> Answer:
    """Send one table."""
    path = f"/v1/models/{row.model}:predict"
    headers = {"Content-Type": row.content_type, "Accept": accept}
    return server.call("POST", path, key=caller.api_key, body=row.body, headers=headers)


@pytest.mark.parametrize("row", SERVED.values(), ids=SERVED.keys())
def test_table_is_answered_as_asked(v1_server: Server, v1_caller: Caller, row: Row) -> None:
    """Content-Type says what was sent, Accept says what comes back."""
    answer = ask(v1_server, v1_caller, row, accept=row.accept)
    assert (answer.status, answer.headers["content-type"]) == (200, row.answer_type)
    body = read_stream(answer.body) if row.answer_type == ARROW else answer.body
    assert body == row.answer


@pytest.mark.parametrize("refusal", REFUSED.values(), ids=REFUSED.keys())
def test_table_is_refused_by_row_and_feature(
    v1_server: Server, v1_caller: Caller, refusal: Refusal
) -> None:
    """With the problem document of every other refusal, whatever Accept says."""
    answer = ask(v1_server, v1_caller, refusal, accept=CSV)
    assert answer.status == refusal.status
    assert answer.headers["content-type"] == "application/problem+json"
    assert isinstance(answer.body["error"], str)
    found = {(item["row"], item["feature"]) for item in answer.body.get("errors", ())}
    assert found == refusal.places


def test_table_costs_what_its_rows_cost(v1_server: Server, v1_caller: Caller) -> None:
    """Three units for each row, as in JSON."""
    answer = ask(v1_server, v1_caller, Row("named", b"amount\n1\n2\n", b""))
    assert answer.headers["tollgate-units"] == "6"
