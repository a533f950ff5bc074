"""What Nginx passes on: the request as it was sent, and about the client only what it knows itself.

Threat: the gateway believes what comes through its socket.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.echo_upstream import DROP, Echo
from tests.edge import HERE, Edge, ask, open_client, running_edge

PREDICT = "/v1/models/housing:predict"
CLIENT = "127.0.0.7"
MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """Run an nginx with the shipped settings."""
    with running_edge(tmp_path_factory.mktemp("edge")) as running:
        yield running


def headers_seen(body: dict[str, Any]) -> dict[str, list[str]]:
    """Collect what reached the gateway under each name."""
    seen: dict[str, list[str]] = {}
    for name, value in body["headers"]:
        seen.setdefault(name, []).append(value)
    return seen


def test_forwarding_headers_are_set(edge: Edge) -> None:
    """One address, one scheme, one id, one host."""
    seen = headers_seen(ask(edge.nginx, "GET", "/v1/models", source=CLIENT).body)
    assert seen["x-forwarded-for"] == [CLIENT]
    assert seen["x-forwarded-proto"] == ["https"]
    assert seen["host"] == ["localhost"]
    assert re.fullmatch("[0-9a-f]{32}", seen["x-request-id"][0])


SPOOFED = {
    "X-Forwarded-For": "192.0.2.1",
    "X-Forwarded-Proto": "ftp",
    "X-Forwarded-Host": "evil",
    "X-Forwarded-Port": "1",
    "X-Forwarded-Prefix": "/evil",
    "X-Real-IP": "192.0.2.1",
    "X-Request-ID": "f" * 32,
    "Forwarded": "for=192.0.2.1",
    "X_Forwarded_For": "192.0.2.1",
    "X-Original-URL": "/evil",
    "X-Rewrite-URL": "/evil",
    "X-HTTP-Method-Override": "DELETE",
    "Proxy": "http://192.0.2.1",
    "Via": "1.1 evil",
    "Traceparent": f"00-{'e' * 32}-{'1' * 16}-01",
    "Tracestate": "evil=1",
    "Baggage": "tenant=evil",
}


@pytest.mark.parametrize("name", SPOOFED)
def test_spoofed_header_has_no_effect(edge: Edge, name: str) -> None:
    """Neither alone nor twice does a client's value get through."""
    line = f"{name}: {SPOOFED[name]}"
    seen = headers_seen(ask(edge.nginx, "GET", "/v1/models", line, line).body)
    assert SPOOFED[name] not in {value for values in seen.values() for value in values}
    assert seen["x-forwarded-for"] == [HERE]


@pytest.mark.parametrize(
    "line",
    ["TE: trailers", "Upgrade: websocket", "Keep-Alive: 9", "Trailer: X", "Proxy-Connection: a"],
)
def test_header_of_one_hop_ends_here(edge: Edge, line: str) -> None:
    """RFC 9110, section 7.6.1; there is no protocol to upgrade to."""
    seen = headers_seen(ask(edge.nginx, "GET", "/v1/models", line).body)
    assert line.partition(":")[0].lower() not in seen
    assert "connection" not in seen


def test_expectation_is_met_here(edge: Edge) -> None:
    """Nginx asks for the body itself and passes the whole request on."""
    with open_client(edge.nginx, http2=False) as client:
        answer = client.post(PREDICT, content=b"{}", headers={"Expect": "100-continue"})
    assert "expect" not in headers_seen(answer.json())


def test_credential_and_idempotency_key_get_through(edge: Edge) -> None:
    """What the gateway needs from the client."""
    lines = ("Authorization: Bearer x", "Idempotency-Key: y", "Content-Type: application/json")
    seen = headers_seen(ask(edge.nginx, "POST", PREDICT, *lines, body=b"{}").body)
    assert (seen["authorization"], seen["idempotency-key"]) == (["Bearer x"], ["y"])
    assert seen["content-type"] == ["application/json"]


def test_chunked_body_arrives_with_its_length(edge: Edge) -> None:
    """It is buffered whole first, so a slow client holds no worker of the gateway."""
    with open_client(edge.nginx, http2=False) as client:
        answer = client.post(PREDICT, content=iter([b" " * 1000] * 100)).json()
    seen = headers_seen(answer)
    assert (answer["body_bytes"], seen["content-length"]) == (100_000, ["100000"])
    assert "transfer-encoding" not in seen


@pytest.mark.parametrize(
    "target",
    [
        "/v1/models/a%2fb:predict",
        "/v1/models/%2e%2e/x",
        "/v1//models",
        "/v1/models/;x",
        "/v1/%6dodels/a%20b",
        "/v1/models/../x?a=%2e%2e&b=//",
        "/v1/models/%ff",
    ],
)
def test_target_arrives_as_it_was_sent(edge: Edge, target: str) -> None:
    """Nothing is decoded, merged or resolved, so the gateway judges what the client wrote."""
    assert ask(edge.nginx, "GET", target).body["target"] == target


def test_prediction_is_never_sent_twice(edge: Edge) -> None:
    """A gateway that hangs up may have billed already."""
    before = edge.echo.requests.count(("POST", DROP))
    assert ask(edge.nginx, "POST", DROP, body=b"{}").status == 502
    assert edge.echo.requests.count(("POST", DROP)) == before + 1


def test_smuggled_request_is_never_seen(edge: Edge) -> None:
    """A body with a request inside is a body."""
    inner = b"GET /v1/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert ask(edge.nginx, "POST", PREDICT, body=inner).body["body_bytes"] == len(inner)
    assert not smuggled(edge.echo)


def smuggled(echo: Echo) -> list[tuple[str, str]]:
    """List what only a request inside another asked for."""
    return [request for request in echo.requests if "smuggled" in request[1]]


def test_body_of_exactly_the_cap_gets_through(edge: Edge) -> None:
    """The cap is the gateway's, to the byte."""
    with open_client(edge.nginx) as client:
        answer = client.post(PREDICT, content=b" " * (64 * MEBIBYTE), timeout=60)
        assert answer.json()["body_bytes"] == 64 * MEBIBYTE


def test_body_over_the_cap_is_refused_by_its_length(edge: Edge) -> None:
    """Not one byte of it is waited for."""
    answer = ask(edge.nginx, "POST", PREDICT, f"Content-Length: {64 * MEBIBYTE + 1}")
    assert answer.body["detail"] == f"the body is over the limit of {64 * MEBIBYTE} bytes"


def test_answer_is_not_compressed(edge: Edge) -> None:
    """BREACH needs a compressed answer."""
    with open_client(edge.nginx) as client:
        answer = client.get("/v1/models", headers={"Accept-Encoding": "gzip, br"})
    assert "content-encoding" not in answer.headers


def test_log_has_no_query_and_no_credential(edge: Edge) -> None:
    """It tells which request it was, how it went and how long it took."""
    answer = ask(edge.nginx, "GET", "/v1/usage?a=canary1", "Authorization: Bearer canary2")
    line = edge.nginx.logged(headers_seen(answer.body)["x-request-id"][0])
    assert (line["path"], line["status"], line["upstream_status"]) == ("/v1/usage", 200, "200")
    assert float(line["upstream_header_seconds"]) >= 0
    assert "canary" not in str(line)
