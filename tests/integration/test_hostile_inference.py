"""Whatever a client of the inference protocol sends: a small 4xx, and nothing on the bill."""

import gzip
import json
import zlib

import numpy as np
import pytest

from tests.serving import Answer, Server

CANARY = "canary-9c1d"
LENGTH = "Inference-Header-Content-Length"
INFER = "/v2/models/housing/infer"
Headers = dict[str, str]

NUMBERS = {"name": "numeric", "datatype": "FP32", "shape": [1, 5], "data": [6480, 3, 1, 2, 1]}
WORDS = {
    "name": "categorical",
    "datatype": "BYTES",
    "shape": [1, 6],
    "data": ["no", "no", "no", "no", "yes", "no"],
}
GOOD = {"inputs": [NUMBERS, WORDS]}


def request_with(numbers: object = NUMBERS, words: object = WORDS) -> bytes:
    """Write a request whose inputs may be anything."""
    return json.dumps({"inputs": [numbers, words]}).encode()


def raw_data(value: str) -> bytes:
    """Write a request whose first number is a piece of raw JSON."""
    return request_with().replace(b"6480", value.encode())


def in_binary(blob: bytes, size: int, shape: list[int]) -> tuple[bytes, Headers]:
    """Write a request whose numbers are bytes."""
    parameters = {"binary_data_size": size}
    numbers = {"name": "numeric", "datatype": "FP32", "shape": shape, "parameters": parameters}
    head = request_with(numbers)
    return head + blob, {LENGTH: str(len(head))}


def row_of(*values: float) -> bytes:
    """Write numbers of FP32."""
    return np.array(values, np.float32).tobytes()


MANY_MEMBERS = ",".join(f'"{CANARY}{n}": 1' for n in range(300_000))
BOMB = gzip.compress(b" " * 200_000_000)
HOSTILE: dict[str, tuple[bytes, Headers]] = {
    "empty": (b"", {}),
    "not an object": (b"[]", {}),
    "UTF-16": (json.dumps(GOOD).encode("utf-16"), {}),
    "brackets": (b"[" * 100_000, {}),
    "brackets in place": (b'{"inputs": ' + b"[" * 100_000, {}),
    "many members": (("{" + MANY_MEMBERS + "}").encode(), {}),
    "many inputs": (json.dumps({"inputs": [NUMBERS] * 20_000}).encode(), {}),
    "repeated member": (b'{"inputs": [], "inputs": []}', {}),
    "half a surrogate pair": (raw_data('"\\ud800"'), {}),
    "nan where it may not be": (raw_data("NaN"), {}),
    "infinity where it may not be": (raw_data("-Infinity"), {}),
    "number beyond doubles": (raw_data("1e999"), {}),
    "five thousand digits": (raw_data("1" * 5000), {}),
    "text for a number": (raw_data(f'"{CANARY}"'), {}),
    "word that is no category": (request_with(words=WORDS | {"data": [CANARY] * 6}), {}),
    "unknown input": (request_with({**NUMBERS, "name": CANARY}), {}),
    "datatype of its own": (request_with({**NUMBERS, "datatype": CANARY}), {}),
    "shape of 2**40 sizes": (request_with({**NUMBERS, "shape": [2**40, 5]}), {}),
    "shape that overflows": (request_with({**NUMBERS, "shape": [2**63, 2**63]}), {}),
    "shape of zero": (request_with({**NUMBERS, "shape": [0, 5], "data": []}), {}),
    "header that is no number": (json.dumps(GOOD).encode(), {LENGTH: CANARY}),
    "header beyond the body": (json.dumps(GOOD).encode(), {LENGTH: "999999999"}),
    "header of 2**63 digits": (json.dumps(GOOD).encode(), {LENGTH: "9" * 400}),
    "raw body for two inputs": (row_of(1, 2, 3, 4, 5), {LENGTH: "0"}),
    "too few bytes": in_binary(row_of(1, 2, 3), 20, [1, 5]),
    "bytes left over": in_binary(row_of(1, 2, 3, 4, 5, 6), 20, [1, 5]),
    "size of another shape": in_binary(row_of(1, 2, 3, 4, 5), 20, [2, 5]),
    "size beyond the body": in_binary(b"", 2**62, [1, 5]),
    "nan in bytes": in_binary(row_of(np.nan, 3, 1, 2, 1), 20, [1, 5]),
    "number under the minimum in bytes": in_binary(row_of(-1, 3, 1, 2, 1), 20, [1, 5]),
    "inflating bomb": (BOMB, {"Content-Encoding": "gzip"}),
    "compressed and cut off": (zlib.compress(b"{}" * 999)[:9], {"Content-Encoding": "deflate"}),
    "not compressed as it says": (json.dumps(GOOD).encode(), {"Content-Encoding": "gzip"}),
    "compressed in an unknown way": (json.dumps(GOOD).encode(), {"Content-Encoding": "br"}),
    "compressed twice": (json.dumps(GOOD).encode(), {"Content-Encoding": "gzip, gzip"}),
}


def infer(server: Server, body: bytes, headers: Headers, *, path: str = INFER) -> Answer:
    """Ask for an inference with the demo's key."""
    return server.call("POST", path, key=server.demo["api_key"], body=body, headers=headers)


def test_good_request_is_answered(server: Server) -> None:
    """What the hostile ones are made of is itself no fault."""
    assert infer(server, json.dumps(GOOD).encode(), {}).status == 200
    body, headers = in_binary(row_of(6480, 3, 1, 2, 1), 20, [1, 5])
    assert infer(server, body, headers).status == 200


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_body_gets_a_small_4xx_without_echo(server: Server, name: str) -> None:
    """Never a 5xx, never the input, never more than 8 kB, and nothing on the bill."""
    answer = infer(server, *HOSTILE[name])
    assert 400 <= answer.status < 500, answer.body
    assert isinstance(answer.body["error"], str)
    assert int(answer.headers["content-length"]) <= 8192
    assert CANARY not in json.dumps(answer.body)
    assert "tollgate-units" not in answer.headers


@pytest.mark.parametrize("header", [LENGTH, "Content-Encoding"])
def test_headers_of_the_protocol_do_nothing_to_v1(server: Server, header: str) -> None:
    """A length is not heard there, and a compressed body is refused."""
    path = "/v1/models/housing:predict"
    body = json.dumps({"instances": server.demo["example"]["instances"] * 2000}).encode()
    answer = infer(server, body, {header: "7" if header == LENGTH else "gzip"}, path=path)
    assert answer.status == (200 if header == LENGTH else 415)


@pytest.mark.parametrize(
    "path",
    [
        "/v2/models/housing%2f..%2fhousing/infer",
        "/v2/models/../infer",
        "/v2/models//housing/infer",
        "/v2/models/housing;x/infer",
        "/v2/models/housing%00/infer",
        "/v2/models/housing/versions/99/infer",
        "/v2/models/housing/labels/x%2fy/infer",
    ],
)
def test_path_that_names_no_model_is_not_found(server: Server, path: str) -> None:
    """Tricks with the path end at a plain 404."""
    assert infer(server, json.dumps(GOOD).encode(), {}, path=path).status == 404
