"""Whatever Nginx itself refuses is told as the gateway would tell it: an RFC 9457 problem."""

import json
import re
from collections.abc import Callable, Iterator

import pytest

from tests.certificates import NAME
from tests.echo_upstream import DROP, HANG, NOT_FOUND
from tests.edge import Edge, ask, open_client, parse_answer, running_edge, send_tls
from tests.serving import Answer
from tests.wire import send_raw

MAX_BODY_BYTES = 2048
WAIT_ONE_SECOND = "-4"
"""Nginx waits 5 s longer than the gateway is given."""

MEMBERS = {"type", "title", "status", "detail", "code", "request_id", "error"}
PREDICT = "/v1/models/housing:predict"
CHUNKED = "Transfer-Encoding: chunked"
LONG = "a" * 20_000


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """Run an nginx that is easily asked for too much."""
    settings = {
        "TOLLGATE_MAX_BODY_BYTES": str(MAX_BODY_BYTES),
        "TOLLGATE_REQUEST_TIMEOUT_SECONDS": WAIT_ONE_SECOND,
        "NGINX_OPERATOR_NETWORKS": "192.0.2.0/24",
    }
    with running_edge(tmp_path_factory.mktemp("edge"), **settings) as running:
        yield running


def raw(edge: Edge, request: str) -> Answer:
    """Send a request that no library would write."""
    return parse_answer(send_tls(edge.nginx, request.encode("latin-1")))


def plain_to_tls(edge: Edge, method: str) -> Answer:
    """Speak HTTP without TLS on the TLS port."""
    request = f"{method} / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n"
    return parse_answer(send_raw(edge.nginx.tls_port, request.encode()))


REFUSALS: dict[str, tuple[int, str, Callable[[Edge], Answer]]] = {
    "no request line": (400, "bad_request", lambda e: raw(e, "\x16\x03\r\n\r\n")),
    "no host": (400, "bad_request", lambda e: raw(e, "GET / HTTP/1.1\r\n\r\n")),
    "two hosts": (400, "bad_request", lambda e: ask(e.nginx, "GET", "/", "Host: b")),
    "zero byte in the path": (400, "bad_request", lambda e: ask(e.nginx, "GET", "/%00")),
    "above the root": (400, "bad_request", lambda e: ask(e.nginx, "GET", "/../x")),
    "length and chunks": (
        400,
        "bad_request",
        lambda e: ask(e.nginx, "POST", PREDICT, CHUNKED, body=b"0\r\n\r\n"),
    ),
    "lengths that differ": (
        400,
        "bad_request",
        lambda e: ask(e.nginx, "POST", PREDICT, "Content-Length: 9", body=b"{}"),
    ),
    "key in the query": (
        400,
        "credential_in_url",
        lambda e: ask(e.nginx, "GET", "/v1/models?key=tg_live_x"),
    ),
    "operators only": (403, "network_not_allowed", lambda e: ask(e.nginx, "GET", "/v1/plans")),
    "no TLS": (403, "tls_required", lambda e: plain_to_tls(e, "POST")),
    "our own page": (404, "not_found", lambda e: ask(e.nginx, "GET", "/.tollgate-problem")),
    "TRACE": (405, "method_not_allowed", lambda e: ask(e.nginx, "TRACE", "/v1/models")),
    "CONNECT": (405, "method_not_allowed", lambda e: ask(e.nginx, "CONNECT", "/v1/models")),
    "body over the cap": (
        413,
        "body_too_large",
        lambda e: ask(e.nginx, "POST", PREDICT, body=b" " * (MAX_BODY_BYTES + 1)),
    ),
    "chunks over the cap": (
        413,
        "body_too_large",
        lambda e: parse_answer(
            send_tls(
                e.nginx,
                f"POST {PREDICT} HTTP/1.1\r\nHost: {NAME}\r\n{CHUNKED}\r\n\r\n".encode(),
                b"801\r\n" + b" " * (MAX_BODY_BYTES + 1) + b"\r\n0\r\n\r\n",
            )
        ),
    ),
    "long target": (414, "target_too_long", lambda e: ask(e.nginx, "GET", f"/{LONG}")),
    "another host": (
        421,
        "host_unknown",
        lambda e: raw(e, "GET / HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n"),
    ),
    "long header": (431, "head_too_large", lambda e: ask(e.nginx, "GET", "/", f"X-A: {LONG}")),
    "many headers": (
        431,
        "head_too_large",
        lambda e: ask(e.nginx, "GET", "/", *[f"X-{n}: {LONG[:8000]}" for n in range(9)]),
    ),
    "unknown coding": (
        501,
        "coding_unsupported",
        lambda e: ask(e.nginx, "POST", PREDICT, "Transfer-Encoding: gzip"),
    ),
    "upstream hangs up": (502, "gateway_unreachable", lambda e: ask(e.nginx, "POST", DROP)),
    "upstream hangs": (504, "gateway_too_slow", lambda e: ask(e.nginx, "POST", HANG)),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal_is_a_problem_document(edge: Edge, name: str) -> None:
    """Status, members, type and request id are as in the gateway's."""
    status, code, send = REFUSALS[name]
    answer = send(edge)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.body.keys() == MEMBERS
    assert (answer.body["status"], answer.body["code"]) == (status, code)
    assert answer.body["error"] == answer.body["detail"]
    assert re.fullmatch("[0-9a-f]{32}", answer.body["request_id"])
    assert answer.headers["x-request-id"] == answer.body["request_id"]


def test_refusal_names_the_request_in_the_log(edge: Edge) -> None:
    """Whoever complains can be found by the id that the answer has."""
    answer = ask(edge.nginx, "GET", "/v1/plans")
    assert edge.nginx.logged(answer.body["request_id"])["status"] == 403


@pytest.mark.parametrize(("target", "status"), [(HANG, 504), (DROP, 502)])
def test_log_tells_that_the_gateway_did_not_answer(edge: Edge, target: str, status: int) -> None:
    """The gateway's own 504 could otherwise not be told from that of nginx, which gave it up."""
    request_id = ask(edge.nginx, "POST", target).headers["x-request-id"]
    line = edge.nginx.logged(request_id)
    assert (line["status"], line["upstream_header_seconds"]) == (status, "-")
    assert line["upstream_connect_seconds"] != "-"


def test_refusal_over_http2_is_a_problem_document(edge: Edge) -> None:
    """The protocol makes no difference."""
    with open_client(edge.nginx) as client:
        answer = client.post(PREDICT, content=b" " * (MAX_BODY_BYTES + 1))
    assert (answer.http_version, answer.status_code) == ("HTTP/2", 413)
    assert answer.json()["code"] == "body_too_large"


def test_refusal_of_head_has_no_body(edge: Edge) -> None:
    """HEAD gets the headers alone."""
    received = send_tls(
        edge.nginx,
        f"HEAD /v1/plans HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode(),
    )
    assert received.endswith(b"\r\n\r\n")


def test_answer_of_the_gateway_passes_unchanged(edge: Edge) -> None:
    """An error that the gateway told is not told again."""
    answer = ask(edge.nginx, "GET", NOT_FOUND)
    assert answer.status == 404
    assert answer.body["target"] == NOT_FOUND


def test_retry_is_advised_where_it_helps(edge: Edge) -> None:
    """A gateway that is gone for a moment is worth another try."""
    assert ask(edge.nginx, "POST", DROP).headers["retry-after"] == "1"


def test_methods_are_named_with_405(edge: Edge) -> None:
    """RFC 9110, section 15.5.6."""
    assert "POST" in ask(edge.nginx, "TRACE", "/v1/models").headers["allow"]


def test_key_in_a_target_is_written_nowhere(edge: Edge) -> None:
    """Neither log holds it, not even with the body over the cap."""
    body = b" " * (MAX_BODY_BYTES + 1)
    targets = (
        "/v1/tg_live_canary",
        "/v1/models?a=tg_test_canary",
        "/v1/%74g_live_canary",
        "/v1/tg_clnt_canary",
        "/v1/models?token=eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJjYW5hcnki%2EcanaryCANARY",
    )
    for target in targets:
        answer = ask(edge.nginx, "POST", target, body=body)
        assert answer.body["code"] == "credential_in_url"
        assert edge.nginx.logged(answer.body["request_id"])["path"] == "[credential]"
    assert "canary" not in json.dumps(edge.nginx.access_log()) + edge.nginx.error_log()
