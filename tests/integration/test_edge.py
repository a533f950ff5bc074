"""Strangers without a credential can neither fill the memory nor shut others out."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.test_slow_clients import crowd
from tests.serving import Server, free_port
from tests.wire import send_raw, statuses

MEBIBYTE = 1024 * 1024
USUAL_LIMITS = ("prlimit", "--nofile=1024:20000")


@pytest.fixture
def usual_server(tmp_path: Path) -> Iterator[Server]:
    """Run a server under the soft limit of descriptors that most systems give."""
    running = Server(tmp_path, free_port(), wrapper=USUAL_LIMITS)
    running.start()
    yield running
    running.stop()


def test_head_over_the_cap_is_refused(server: Server) -> None:
    """A stranger's endless header is not collected in memory."""
    head = b"GET /healthz/live HTTP/1.1\r\nHost: x\r\nX-A: "
    received = send_raw(server.port, head, *[b"a" * MEBIBYTE] * 4, b"\r\nConnection: close\r\n\r\n")
    assert statuses(received) in ([431], [])


def test_trailer_carries_no_credential(server: Server) -> None:
    """Fields after the body are no headers."""
    key = server.demo["api_key"]
    request = (
        "POST /v1/models/housing:predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
        f"Authorization: Bearer {key}\r\n\r\n"
    )
    assert statuses(send_raw(server.port, request.encode())) == [401]


def test_thousand_silent_connections_disturb_nobody(usual_server: Server) -> None:
    """The descriptors do not run out."""
    address = ("127.0.0.1", usual_server.port)
    with (
        crowd(usual_server, b"", size=1100),
        socket.create_connection(address, 10) as connection,
    ):
        connection.sendall(b"GET /healthz/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 200"
