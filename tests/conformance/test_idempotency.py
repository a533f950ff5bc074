"""Idempotency-Key on every way to ask for a prediction over HTTP.

Source: draft-ietf-httpapi-idempotency-key-header-07, sections 2.1 to 2.7.
"""

import asyncio
import json
import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gateway.dataplane.codecs import ARROW, CSV
from tests.arrow_streams import stream_of
from tests.load import Caller, open_streams, read_reply
from tests.population import make_caller, make_plan, make_tenant
from tests.serving import Answer, Server

PREDICT = "/v1/models/scaled:predict"
INFER = "/v2/models/scaled/infer"
JSON_BODY: dict[str, Any] = {"instances": [1, 2.5]}
TENSOR = {"name": "x", "datatype": "FP32", "shape": [2]}
INFER_BODY = {"inputs": [TENSOR | {"data": [1, 2.5]}]}
NUMBERS = np.array([1, 2.5], np.float32).tobytes()
HEAD = json.dumps(
    {
        "inputs": [TENSOR | {"parameters": {"binary_data_size": len(NUMBERS)}}],
        "parameters": {"binary_data_output": True},
    }
).encode()
FORMS: dict[str, tuple[str, object, dict[str, str]]] = {
    "V1": (PREDICT, JSON_BODY, {}),
    "V1, by version": ("/v1/models/scaled/versions/1:predict", JSON_BODY, {}),
    "CSV": (PREDICT, b"x\n1\n2.5\n", {"Content-Type": CSV}),
    "JSON to CSV": (PREDICT, JSON_BODY, {"Content-Type": "application/json", "Accept": CSV}),
    "Arrow": (PREDICT, stream_of({"x": pa.array([1.0, 2.5])}), {"Content-Type": ARROW}),
    "OIP": (INFER, INFER_BODY, {}),
    "OIP, binary": (INFER, HEAD + NUMBERS, {"Inference-Header-Content-Length": str(len(HEAD))}),
    "OIP, compressed answer": (
        INFER,
        HEAD + NUMBERS,
        {"Inference-Header-Content-Length": str(len(HEAD)), "Accept-Encoding": "gzip"},
    ),
}
SAME = ("content-type", "content-length", "content-encoding", "inference-header-content-length")
BILLED = ("tollgate-units", "tollgate-model-version")


def send(
    server: Server,
    caller: Caller,
    name: str,
    *,
    path: str = PREDICT,
    body: object = JSON_BODY,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send a request with an idempotency key."""
    headers = {"Idempotency-Key": name, **(headers or {})}
    return server.call("POST", path, key=caller.api_key, body=body, headers=headers)


def billed(server: Server, caller: Caller) -> tuple[int, int]:
    """Read how many requests and units a tenant's bill has."""
    path = f"/v1/usage?tenant_id={caller.tenant_id}"
    data = server.call("GET", path, key=server.demo["billing_key"]).body["data"]
    return sum(item["requests"] for item in data), sum(item["units"] for item in data)


@pytest.fixture
def caller(v1_server: Server) -> Caller:
    """Make a customer with a bill of its own."""
    return make_caller(v1_server, make_tenant(v1_server, make_plan(v1_server)))


@pytest.mark.parametrize("form", FORMS)
def test_retry_is_answered_byte_for_byte_and_billed_once(
    form: str, v1_server: Server, caller: Caller
) -> None:
    """Units and version are those of the first, whose id is told; the retry has its own."""
    path, body, headers = FORMS[form]
    first, again = (
        send(v1_server, caller, form.encode().hex(), path=path, body=body, headers=headers)
        for _ in range(2)
    )
    assert (first.status, again.status) == (200, 200)
    assert again.body == first.body
    for name in (*SAME, *BILLED):
        assert again.headers.get(name) == first.headers.get(name)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["tollgate-original-request-id"] == first.headers["x-request-id"]
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert billed(v1_server, caller) == (1, 2)


def test_key_of_another_request_is_unprocessable(v1_server: Server, caller: Caller) -> None:
    """Another body, model, version, protocol or form is another request; nothing is billed."""
    name = str(uuid.uuid4())
    assert send(v1_server, caller, name).status == 200
    others = [
        send(v1_server, caller, name, body={"instances": [1]}),
        send(v1_server, caller, name, path="/v1/models/named:predict"),
        send(v1_server, caller, name, path="/v1/models/scaled/versions/2:predict"),
        send(v1_server, caller, name, path=INFER, body=INFER_BODY),
        send(v1_server, caller, name, headers={"Accept": CSV}),
    ]
    assert [(answer.status, answer.body["code"]) for answer in others] == [
        (422, "idempotency_key_reused")
    ] * len(others)
    assert all(isinstance(answer.body["error"], str) for answer in others)
    assert billed(v1_server, caller) == (1, 2)


def test_quotes_are_no_part_of_the_key(v1_server: Server, caller: Caller) -> None:
    """The draft's spelling and that of most clients name one request."""
    assert send(v1_server, caller, "abc").status == 200
    assert send(v1_server, caller, '"abc"').headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize("name", ["", '"', "two words", "a" * 256])
def test_malformed_key_is_a_bad_request(name: str, v1_server: Server, caller: Caller) -> None:
    """Nothing ran."""
    answer = send(v1_server, caller, name)
    assert (answer.status, answer.body["code"]) == (400, "idempotency_key_invalid")
    assert billed(v1_server, caller) == (0, 0)


def test_refused_request_leaves_the_key_free(v1_server: Server, caller: Caller) -> None:
    """Only what was answered with 200 is kept, so that a corrected request may use the key."""
    refused = send(v1_server, caller, "free", body={"instances": ["no number"]})
    assert refused.status in (400, 422)
    answer = send(v1_server, caller, "free")
    assert (answer.status, answer.headers.get("idempotency-replayed")) == (200, None)


def test_keys_are_the_tenants_whichever_credential_is_used(v1_server: Server) -> None:
    """A credential that was changed in between costs nothing; another tenant is a stranger."""
    plan_id = make_plan(v1_server)
    tenant_id = make_tenant(v1_server, plan_id)
    one, other = (make_caller(v1_server, tenant_id) for _ in range(2))
    stranger = make_caller(v1_server, make_tenant(v1_server, plan_id))
    assert send(v1_server, one, "shared").status == 200
    assert send(v1_server, other, "shared").headers["idempotency-replayed"] == "true"
    answer = send(v1_server, stranger, "shared", body={"instances": [3]})
    assert (answer.status, answer.headers.get("idempotency-replayed")) == (200, None)


def test_revoked_key_gets_no_replay(v1_server: Server, caller: Caller) -> None:
    """An answer is given again to those alone who may ask now."""
    assert send(v1_server, caller, "revoked").status == 200
    path = f"/v1/tenants/{caller.tenant_id}/keys/{caller.key_id}"
    assert v1_server.call("DELETE", path, key=v1_server.demo["admin_key"]).status in (200, 204)
    assert send(v1_server, caller, "revoked").status == 401


def test_replay_takes_from_the_rate_and_not_from_the_quota(v1_server: Server) -> None:
    """A month that is used up answers for what was billed; a rate that is used up does not."""
    plan_id = make_plan(v1_server, requests_per_second=0.001, burst=3, units_per_month=2)
    caller = make_caller(v1_server, make_tenant(v1_server, plan_id))
    answers = [send(v1_server, caller, "rate") for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert answers[3].body["code"] == "rate_limited"
    assert billed(v1_server, caller) == (1, 2)


def test_caller_that_left_before_its_answer_finds_it(v1_server: Server, caller: Caller) -> None:
    """Whether the first was still running or done, there is one run and one row."""
    body = json.dumps(JSON_BODY).encode()
    head = (
        f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {caller.api_key}\r\n"
        f"Idempotency-Key: lost\r\nContent-Length: {len(body)}\r\n\r\n"
    )

    async def lose_and_ask() -> tuple[int, bytes]:
        for _ in range(8):
            _, writer = await open_streams(v1_server.port)
            writer.write(head.encode() + body)
            await writer.drain()
            writer.close()
        reader, writer = await open_streams(v1_server.port)
        writer.write(head.encode() + body)
        reply = await read_reply(reader)
        writer.close()
        return reply.status, reply.body

    status, content = asyncio.run(lose_and_ask())
    assert (status, json.loads(content)) == (200, {"predictions": [2.0, 5.0]})
    assert billed(v1_server, caller) == (1, 2)
