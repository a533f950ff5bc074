"""Whatever table a client sends, the answer is a small 4xx that quotes nothing and bills none."""

import json

import pyarrow as pa
import pytest

from gateway.dataplane.codecs import ARROW, CSV
from tests.arrow_streams import one_text_many_times, stream_of
from tests.integration.test_hostile_requests import CANARY, is_problem
from tests.serving import Server

HEADER = b"lotsize,bedrooms\n"
MEBIBYTE = 1024 * 1024
TEXT = CANARY.encode() * 60_000
HOSTILE_CSV = {
    "empty": b"",
    "a header alone": HEADER,
    "line feeds": b"\n" * (32 * MEBIBYTE),
    "line feeds after a header": HEADER + b"\n" * (32 * MEBIBYTE),
    "one endless line": b"lotsize\n" + b"1" * (32 * MEBIBYTE),
    "one endless cell": b'lotsize\n"' + b"\n" * (32 * MEBIBYTE),
    "a hundred thousand columns": b",".join(b"c%d" % n for n in range(100_000)) + b"\n1\n",
    "a column twice": b"lotsize,lotsize\n1,2\n",
    "a column that is none": f"{CANARY}\n1\n".encode(),
    "values that are none": f"lotsize\n{CANARY}\n".encode(),
    "too many rows": b"lotsize\n" + b"1\n" * 1_000_000,
    "UTF-16": "lotsize\n1\n".encode("utf-16"),
    "no Unicode": b"lotsize\n\xff\n",
    "zero bytes": b"\0" * 1000,
    "quotes": b'"' * 100_001,
    "JSON": b'{"instances": []}',
    "number beyond doubles": b"lotsize\n1e999\n",
    "five thousand digits": b"bedrooms\n" + b"1" * 5000 + b"\n",
}
HOSTILE_ARROW = {
    "empty": b"",
    "JSON": b'{"instances": []}',
    "no message": b"\xff\xff\xff\xff\0\0\0\0",
    "a message of 2 GiB": b"\xff\xff\xff\xff\xff\xff\xff\x7f",
    "cut short": stream_of({"lotsize": pa.array([1.0])})[:-20],
    "a million nulls": stream_of({"lotsize": pa.nulls(1_000_000)}),
    "compressed": stream_of({"lotsize": pa.array([0.0] * 4096)}, compression="zstd"),
    "one text in every row": stream_of({"driveway": one_text_many_times(TEXT, 4096)}),
    "a column that is none": stream_of({CANARY: pa.array([1.0])}),
    "values that are none": stream_of({"driveway": pa.array([CANARY])}),
    "lists": stream_of({"lotsize": pa.array([[1.0]])}),
    "infinity": stream_of({"lotsize": pa.array([float("inf")])}),
}
HOSTILE = {
    **{f"CSV, {name}": (CSV, body) for name, body in HOSTILE_CSV.items()},
    **{f"Arrow, {name}": (ARROW, body) for name, body in HOSTILE_ARROW.items()},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_table_gets_a_small_4xx_without_echo(server: Server, name: str) -> None:
    """Never a 5xx, never the input, never more than 8 kB."""
    content_type, body = HOSTILE[name]
    headers = {"Content-Type": content_type}
    path, key = "/v1/models/housing:predict", server.demo["api_key"]
    answer = server.call("POST", path, key=key, body=body, headers=headers)
    assert 400 <= answer.status < 500
    assert is_problem(answer)
    assert int(answer.headers["content-length"]) <= 8192
    assert CANARY not in json.dumps(answer.body)
