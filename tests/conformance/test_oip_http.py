"""The Open Inference Protocol over HTTP, one row for each thing it demands of a server.

Source: Open Inference Protocol 2, "HTTP/REST"; Triton, "Binary Tensor Data Extension",
"Classification Extension" and "Model Repository Extension". What the stock clients see of it is in
`test_triton_http.py`.
"""

import gzip
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import pytest

from tests.load import Caller
from tests.serving import Answer, Server

X = {"name": "x", "shape": [2], "datatype": "FP32", "data": [1, 2.5]}
BINARY_X = {"name": "x", "shape": [2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}
ALL_BINARY = {"parameters": {"binary_data_output": True}}
LENGTH = "Inference-Header-Content-Length"


def floats(*values: float) -> bytes:
    """Write numbers of FP32."""
    return np.array(values, np.float32).tobytes()


def with_bytes(document: dict[str, Any], *blobs: bytes) -> tuple[bytes, dict[str, str]]:
    """Write a request in the binary form, with the header that goes with it."""
    head = json.dumps(document).encode()
    return head + b"".join(blobs), {LENGTH: str(len(head))}


def infer(
    server: Server,
    caller: Caller,
    body: object,
    *,
    model: str = "scaled",
    headers: dict[str, str] | None = None,
) -> Answer:
    """Ask for an inference."""
    path = f"/v2/models/{model}/infer"
    return server.call("POST", path, key=caller.api_key, body=body, headers=headers)


def split(answer: Answer) -> tuple[dict[str, Any], bytes]:
    """Cut a binary answer into its JSON and what follows."""
    length = int(answer.headers[LENGTH.lower()])
    return json.loads(answer.body[:length]), answer.body[length:]


@dataclass(frozen=True)
class Row:
    """A request in JSON and members of its answer's first output."""

    model: str
    document: dict[str, Any]
    output: dict[str, Any] = field(default_factory=dict)


SERVED = {
    "flat data": Row("scaled", {"inputs": [X]}, {"data": [2.0, 5.0], "shape": [2]}),
    "nested data": Row(
        "linear",
        {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [[1, 2, 3]]}]},
        {"data": [321.0], "shape": [1, 1], "datatype": "FP32"},
    ),
    "no output is all": Row("parts", {"inputs": [X], "outputs": []}, {"name": "double"}),
    "chosen output": Row(
        "parts", {"inputs": [X], "outputs": [{"name": "negative"}]}, {"data": [-1.0, -2.5]}
    ),
    "text": Row(
        "greeting",
        {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["ż"]}]},
        {"data": ["ż"], "datatype": "BYTES"},
    ),
    "classes": Row(
        "scaled",
        {"inputs": [X], "outputs": [{"name": "y", "parameters": {"classification": 1}}]},
        {"data": ["2.0:0", "5.0:0"], "datatype": "BYTES", "shape": [2, 1]},
    ),
    "named features": Row("named", {"inputs": [X]}, {"data": [2.0, 5.0]}),
    "unknown parameters": Row("scaled", {"inputs": [X], "parameters": {"mine": 1}}, {"name": "y"}),
    "priority and timeout": Row(
        "scaled", {"inputs": [X], "parameters": {"priority": 1, "timeout": 30_000_000}}
    ),
}
REFUSED: dict[str, tuple[int, dict[str, Any]]] = {
    "unknown input": (400, {"inputs": [X | {"name": "z"}]}),
    "unknown output": (400, {"inputs": [X], "outputs": [{"name": "z"}]}),
    "other datatype": (400, {"inputs": [X | {"datatype": "INT64"}]}),
    "shape whose product overflows": (400, {"inputs": [X | {"shape": [2**63, 2]}]}),
    "shape that overflows": (400, {"inputs": [X | {"shape": [2**64]}]}),
    "no input": (400, {"inputs": []}),
    "zero rows": (400, {"inputs": [X | {"shape": [0], "data": []}]}),
    "binary size without a header": (400, {"inputs": [BINARY_X]}),
    "sequence": (400, {"inputs": [X], "parameters": {"sequence_id": 1}}),
    "too many rows": (413, {"inputs": [X | {"shape": [5000], "data": [0] * 5000}]}),
}


@pytest.mark.parametrize("row", SERVED.values(), ids=SERVED.keys())
def test_request_is_answered(v1_server: Server, v1_caller: Caller, row: Row) -> None:
    """Exactly 200, the model and its version named, and no null."""
    answer = infer(v1_server, v1_caller, row.document, model=row.model)
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "application/json"
    assert answer.body["model_name"] == row.model
    assert isinstance(answer.body["model_version"], str)
    assert row.output.items() <= answer.body["outputs"][0].items()
    assert "null" not in json.dumps(answer.body)
    assert "id" not in answer.body


@pytest.mark.parametrize("name", REFUSED)
def test_refusal_has_a_sentence_and_no_bill(
    v1_server: Server, v1_caller: Caller, name: str
) -> None:
    """The member `error` is text: an object there crashes the clients."""
    status, document = REFUSED[name]
    answer = infer(v1_server, v1_caller, document)
    assert answer.status == status, answer.body
    assert isinstance(answer.body["error"], str)
    assert answer.body["error"]
    assert "tollgate-units" not in answer.headers


def test_contract_is_violated_in_either_form(v1_server: Server, v1_caller: Caller) -> None:
    """422, which names row and feature."""
    body, headers = with_bytes({"inputs": [BINARY_X]}, floats(1, -1))
    for sent, extra in ((body, headers), ({"inputs": [X | {"data": [1, -1]}]}, {})):
        answer = infer(v1_server, v1_caller, sent, model="named", headers=extra)
        assert answer.status == 422
        assert answer.body["errors"][0]["row"] == 1
        assert answer.body["errors"][0]["feature"] == "amount"


def test_units_follow_the_rows_and_the_weight(v1_server: Server, v1_caller: Caller) -> None:
    """As on V1."""
    answer = infer(v1_server, v1_caller, {"inputs": [X]}, model="named")
    assert answer.headers["tollgate-units"] == "6"


def test_id_comes_back(v1_server: Server, v1_caller: Caller) -> None:
    """Where it was given."""
    answer = infer(v1_server, v1_caller, {"id": "mine", "inputs": [X]})
    assert answer.body["id"] == "mine"


@pytest.mark.parametrize("version", ["1", "2"])
def test_version_in_the_path_answers(v1_server: Server, v1_caller: Caller, version: str) -> None:
    """And is named in the answer."""
    model = f"scaled/versions/{version}"
    answer = infer(v1_server, v1_caller, {"inputs": [X]}, model=model)
    assert answer.body["model_version"] == version
    assert answer.body["outputs"][0]["data"][0] == float(version)


def test_model_name_may_be_quoted_and_the_query_is_ignored(
    v1_server: Server, v1_caller: Caller
) -> None:
    """As clients write them."""
    path = "/v2/models/%73caled/infer?anything=1"
    answer = v1_server.call("POST", path, key=v1_caller.api_key, body={"inputs": [X]})
    assert answer.status == 200


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/octet-stream"])
def test_content_type_does_not_matter(
    v1_server: Server, v1_caller: Caller, content_type: str
) -> None:
    """The stock client sends none."""
    headers = {"Content-Type": content_type}
    assert infer(v1_server, v1_caller, {"inputs": [X]}, headers=headers).status == 200


def test_binary_goes_both_ways(v1_server: Server, v1_caller: Caller) -> None:
    """JSON first, then the bytes in the order of the outputs."""
    body, headers = with_bytes({"inputs": [BINARY_X]} | ALL_BINARY, floats(1, 2.5))
    answer = infer(v1_server, v1_caller, body, model="parts", headers=headers)
    assert answer.headers["content-type"] == "application/octet-stream"
    document, blob = split(answer)
    assert [item["parameters"]["binary_data_size"] for item in document["outputs"]] == [8, 8]
    assert blob == floats(2, 5) + floats(-1, -2.5)


def test_large_binary_body_in_many_pieces_is_answered(v1_server: Server, v1_caller: Caller) -> None:
    """Whatever the length of the JSON in front of it."""
    rows = 4000
    for name in ("", "i", "id"):
        given = BINARY_X | {"shape": [rows], "parameters": {"binary_data_size": 4 * rows}}
        blob = np.arange(rows, dtype=np.float32)
        body, headers = with_bytes({"id": name, "inputs": [given]} | ALL_BINARY, blob.tobytes())
        _, answer = split(infer(v1_server, v1_caller, body, headers=headers))
        assert answer == (2 * blob).tobytes()


def test_body_of_bytes_alone_is_the_only_input(v1_server: Server, v1_caller: Caller) -> None:
    """A header of 0 says so, and the answer is binary."""
    answer = infer(v1_server, v1_caller, floats(3), headers={LENGTH: "0"})
    assert split(answer)[1] == floats(6)


@pytest.mark.parametrize("value", ["x", "-1", "99999", "7"])
def test_header_that_does_not_fit_the_body_is_refused(
    v1_server: Server, v1_caller: Caller, value: str
) -> None:
    """No number, beyond the body, and in the middle of the JSON."""
    answer = infer(v1_server, v1_caller, {"inputs": [X]}, headers={LENGTH: value})
    assert answer.status == 400
    assert isinstance(answer.body["error"], str)


ENCODINGS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}


@pytest.mark.parametrize("coding", ENCODINGS)
def test_compressed_body_is_inflated(v1_server: Server, v1_caller: Caller, coding: str) -> None:
    """The length in the header is that of the JSON before."""
    body, headers = with_bytes({"inputs": [BINARY_X]}, floats(1, 2.5))
    headers["Content-Encoding"] = coding
    answer = infer(v1_server, v1_caller, ENCODINGS[coding](body), headers=headers)
    assert answer.body["outputs"][0]["data"] == [2.0, 5.0]


@pytest.mark.parametrize("coding", ENCODINGS)
def test_answer_is_compressed_where_asked(
    v1_server: Server, v1_caller: Caller, coding: str
) -> None:
    """One coding is a wish; the list that libraries send is none."""
    answers = [
        httpx.post(
            f"{v1_server.url}/v2/models/scaled/infer",
            json={"inputs": [X]},
            headers={"Authorization": f"Bearer {v1_caller.api_key}", "Accept-Encoding": accepted},
        )
        for accepted in (coding, "gzip, deflate")
    ]
    assert [answer.headers.get("content-encoding") for answer in answers] == [coding, None]
    assert answers[0].json() == answers[1].json()


@pytest.mark.parametrize(
    "path", ["", "/health/ready", "/models/scaled", "/models/scaled/config", "/models/stats"]
)
def test_descriptions_are_never_compressed(v1_server: Server, v1_caller: Caller, path: str) -> None:
    """The asyncio client could not read them."""
    headers = {"Accept-Encoding": "gzip"}
    answer = v1_server.call("GET", f"/v2{path}", key=v1_caller.api_key, headers=headers)
    assert answer.status == 200
    assert "content-encoding" not in answer.headers


def test_readiness_follows_the_model(v1_server: Server, v1_caller: Caller) -> None:
    """200, 503 and 404, each with what clients read."""
    statuses = {}
    for model in ("scaled", "scaled/versions/1", "broken", "nothing", "scaled/versions/9"):
        answer = v1_server.call("GET", f"/v2/models/{model}/ready", key=v1_caller.api_key)
        statuses[model] = answer.status
    assert statuses == {
        "scaled": 200,
        "scaled/versions/1": 200,
        "broken": 503,
        "nothing": 404,
        "scaled/versions/9": 404,
    }


def test_index_tells_of_every_version(v1_server: Server, v1_caller: Caller) -> None:
    """Ready or not; the body may be empty."""
    answer = v1_server.call("POST", "/v2/repository/index", key=v1_caller.api_key)
    states = {(item["name"], item["version"]): item["state"] for item in answer.body}
    assert states["scaled", "1"] == states["scaled", "2"] == "READY"
    assert states["broken", "1"] == "UNAVAILABLE"


def test_configuration_leaves_the_rows_out(v1_server: Server, v1_caller: Caller) -> None:
    """Load generators read `max_batch_size`."""
    answer = v1_server.call("GET", "/v2/models/linear/config", key=v1_caller.api_key)
    assert answer.body["max_batch_size"] == 64
    assert answer.body["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [3]}]
    assert answer.body["output"] == [{"name": "y", "data_type": "TYPE_FP32", "dims": [1]}]


def test_metadata_includes_the_rows(v1_server: Server, v1_caller: Caller) -> None:
    """-1 is a variable size."""
    answer = v1_server.call("GET", "/v2/models/linear", key=v1_caller.api_key)
    assert answer.body["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]
    assert answer.body["platform"] == "onnxruntime_onnx"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_inference_takes_post_alone(v1_server: Server, v1_caller: Caller, method: str) -> None:
    """Other verbs are told which one is allowed."""
    answer = v1_server.call(method, "/v2/models/scaled/infer", key=v1_caller.api_key)
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
