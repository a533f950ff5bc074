"""Whatever a client sends, the answer is a small 4xx that quotes nothing and bills nothing."""

import asyncio
import json

import pytest

from tests.load import read_reply
from tests.serving import Answer, Server

CANARY = "canary-7f3a"


def example_row(server: Server) -> dict[str, object]:
    """Take the demo's row."""
    row: dict[str, object] = server.demo["example"]["instances"][0]
    return row


def row_with(value: str) -> bytes:
    """Write a body whose first feature has a raw JSON value."""
    return b'{"instances": [{"lotsize": ' + value.encode() + b"}]}"


MANY_MEMBERS = ",".join(f'"{CANARY}{n}": 1' for n in range(300_000))
HOSTILE = {
    "nan": row_with("NaN"),
    "infinity": row_with("-Infinity"),
    "number beyond doubles": row_with("1e999"),
    "half a surrogate pair": row_with('"\\ud800"'),
    "five thousand digits": row_with("1" * 5000),
    "repeated member": b'{"instances": [{"lotsize": 1, "lotsize": 2}]}',
    "repeated envelope": b'{"instances": [], "instances": [1]}',
    "brackets": b"[" * 100_000,
    "brackets in place": b'{"instances": ' + b"[" * 100_000,
    "many members": ('{"instances": [{' + MANY_MEMBERS + "}]}").encode(),
    "many bad rows": json.dumps({"instances": [{CANARY: CANARY}] * 4000}).encode(),
    "UTF-16": json.dumps({"instances": []}).encode("utf-16"),
    "empty": b"",
    "no rows": b'{"instances": []}',
    "not an object": b"[]",
    "both forms": b'{"instances": [], "inputs": {}}',
    "neither form": b"{}",
    "unknown member": f'{{"instances": [], "{CANARY}": 1}}'.encode(),
    "rows that are no list": b'{"instances": {"a": 1}}',
    "columns that are no object": b'{"inputs": 7}',
    "null": b'{"instances": null}',
    "null row": b'{"instances": [null]}',
    "string for a number": row_with(f'"{CANARY}"'),
}


def is_problem(answer: Answer) -> bool:
    """Say whether an answer is a problem document with all its members."""
    members = {"type", "title", "status", "detail", "code", "request_id", "error"}
    return members <= answer.body.keys() and isinstance(answer.body["error"], str)


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_body_gets_a_small_4xx_without_echo(server: Server, body: bytes) -> None:
    """Never a 5xx, never the input, never more than 8 kB."""
    answer = server.predict(server.demo["api_key"], body)
    assert 400 <= answer.status < 500
    assert is_problem(answer)
    assert int(answer.headers["content-length"]) <= 8192
    assert CANARY not in json.dumps(answer.body)


def test_refusals_are_not_billed(server: Server) -> None:
    """The tests above cost the demo's tenant nothing."""
    path = f"/v1/usage?tenant_id={server.demo['tenant_id']}"
    before = server.call("GET", path, key=server.demo["billing_key"]).body["data"]
    for body in (HOSTILE["nan"], HOSTILE["no rows"], HOSTILE["repeated member"]):
        server.predict(server.demo["api_key"], body)
    assert server.call("GET", path, key=server.demo["billing_key"]).body["data"] == before


def test_contract_violation_names_row_and_feature(server: Server) -> None:
    """A customer can find the bad value among many rows."""
    good = example_row(server)
    rows = [good, good | {"bedrooms": -1}, good | {"airco": CANARY}]
    answer = server.predict(server.demo["api_key"], {"instances": rows})
    assert answer.status == 422
    places = {(item["row"], item["feature"]) for item in answer.body["errors"]}
    assert places == {(1, "bedrooms"), (2, "airco")}
    assert CANARY not in json.dumps(answer.body)


def test_body_over_the_cap_is_refused_before_it_is_sent(server: Server) -> None:
    """The announced length is enough to say no."""
    head = (
        "POST /v1/models/housing:predict HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {server.demo['api_key']}\r\nContent-Length: 68157440\r\n\r\n"
    )

    async def send() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(head.encode())
        reply = await read_reply(reader)
        writer.close()
        return reply.status

    assert asyncio.run(send()) == 413


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/housing%2f..%2ftenants:predict",
        "/v1/models/..:predict",
        "/v1/models/%2e%2e/tenants:predict",
        "/v1/models/housing%00:predict",
        "/v1/models//housing:predict",
        "/v1/models/housing;x:predict",
        "/v1/models/none:predict",
        "/v1/models/housing/versions/99:predict",
        "/v1/models/housing/versions/x:predict",
    ],
)
def test_path_that_names_no_model_is_not_found(server: Server, path: str) -> None:
    """Tricks with the path end at a plain 404."""
    answer = server.call("POST", path, key=server.demo["api_key"], body=server.demo["example"])
    assert (answer.status, answer.body["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/%74enants/../plans",
        "/v1//tenants",
        "/v1/tenants%2f..",
        "/v1/tenants/%2e%2e/plans",
        "/v1/tenants%0a",
    ],
)
def test_control_plane_path_with_tricks_is_not_found(server: Server, path: str) -> None:
    """A quoted or doubled slash, or a line feed, reaches no route."""
    answer = server.call("GET", path, key=server.demo["admin_key"])
    assert (answer.status, answer.body["code"]) == (404, "not_found")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_prediction_takes_post_alone(server: Server, method: str) -> None:
    """Other verbs are told which one is allowed."""
    answer = server.call(method, "/v1/models/housing:predict", key=server.demo["api_key"])
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


def test_two_credentials_are_refused(server: Server) -> None:
    """Nobody may guess which of two callers is meant."""
    key = server.demo["api_key"]
    answer = server.call(
        "POST",
        "/v1/models/housing:predict",
        key=key,
        body=server.demo["example"],
        headers={"X-API-Key": key},
    )
    assert (answer.status, answer.body["code"]) == (400, "credential_ambiguous")


@pytest.mark.parametrize("path", ["/v1/models/housing:predict", "/v1/usage"])
def test_credential_in_the_url_is_refused_though_valid(server: Server, path: str) -> None:
    """Logs and histories keep URLs."""
    key = server.demo["api_key"]
    method = "POST" if path.endswith("predict") else "GET"
    answer = server.call(method, f"{path}?api_key={key}", key=key, body=server.demo["example"])
    assert (answer.status, answer.body["code"]) == (400, "credential_in_url")


def test_bad_credentials_all_look_alike(server: Server) -> None:
    """None, garbage, mistyped and unknown: one body but for the request id."""
    key = server.demo["api_key"]
    unknown = "tg_live_" + "0" * 60
    bodies = set()
    for candidate in ("", "garbage", key[:-1] + ("a" if key[-1] != "a" else "b"), unknown):
        answer = server.predict(candidate, server.demo["example"])
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        bodies.add(json.dumps(answer.body | {"request_id": ""}))
    assert len(bodies) == 1


def test_forwarding_headers_change_nothing(server: Server) -> None:
    """A client cannot choose its own address, scheme or request id."""
    answer = server.call(
        "GET",
        "/healthz/live",
        headers={"X-Forwarded-For": "10.0.0.1", "X-Request-Id": CANARY, "Forwarded": "for=1.2.3.4"},
    )
    assert answer.status == 200
    assert CANARY not in answer.headers["x-request-id"]
