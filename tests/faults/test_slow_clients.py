"""Clients that send or read as slowly as they can leave the service to everybody else.

Source: the attacks of slowhttptest: slow headers (Slowloris), slow bodies, slow reading.
"""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from tests.load import Caller, prediction_request
from tests.population import populate
from tests.serving import Server, free_port
from tests.wire import ANSWER_SECONDS, statuses

CROWD = 120
"""Connections of each kind."""

ANSWERS_IN_BETWEEN = 20
PIPELINED = 400
"""Requests whose answers, unread, are more than the socket buffers hold."""

TIMEOUT_SECONDS = 2


@pytest.fixture(scope="module")
def patient_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run a server that gives a request two seconds."""
    settings = {"TOLLGATE_REQUEST_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS)}
    running = Server(tmp_path_factory.mktemp("slow"), free_port(), settings=settings)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def caller(patient_server: Server) -> Caller:
    """Make somebody whom the slow clients shall not disturb."""
    return populate(patient_server, tenants=1, keys_each=1)[0]


@contextlib.contextmanager
def crowd(server: Server, content: bytes, *, size: int = CROWD) -> Iterator[list[socket.socket]]:
    """Open connections, send the same on each, and say and read nothing more."""
    with contextlib.ExitStack() as stack:
        connections = []
        for _ in range(size):
            connection = socket.create_connection(("127.0.0.1", server.port), ANSWER_SECONDS)
            connections.append(stack.enter_context(connection))
            connection.sendall(content)
        yield connections


def assert_served(server: Server, caller: Caller) -> None:
    """Check that an ordinary caller is answered on connections of its own."""
    for _ in range(ANSWERS_IN_BETWEEN):
        assert server.predict(caller.api_key, server.demo["example"]).status == 200
    assert server.call("GET", "/healthz/ready").status == 200


def test_slow_headers_disturb_nobody(patient_server: Server, caller: Caller) -> None:
    """Half a header holds a connection and nothing else."""
    with crowd(patient_server, b"POST /v1/models/housing:predict HTTP/1.1\r\nHost: x\r\nX-A: "):
        assert_served(patient_server, caller)


def test_connections_that_say_nothing_disturb_nobody(
    patient_server: Server, caller: Caller
) -> None:
    """Neither does one that was only opened."""
    with crowd(patient_server, b""):
        assert_served(patient_server, caller)


def test_slow_bodies_disturb_nobody_and_are_told(patient_server: Server, caller: Caller) -> None:
    """A body that does not arrive in time gets 408, and is not billed."""
    request = prediction_request(caller, patient_server.demo["example"])
    path = f"/v1/usage?tenant_id={caller.tenant_id}"
    with crowd(patient_server, request[:-5]) as connections:
        assert_served(patient_server, caller)
        first_bytes = [connection.recv(4096) for connection in connections]
    assert [statuses(received) for received in first_bytes] == [[408]] * CROWD
    data = patient_server.call("GET", path, key=patient_server.demo["billing_key"]).body["data"]
    assert sum(item["requests"] for item in data) == ANSWERS_IN_BETWEEN


def test_slow_bodies_of_the_control_plane_disturb_nobody(
    patient_server: Server, caller: Caller
) -> None:
    """An admin's half request holds nothing that others need."""
    head = (
        "POST /v1/plans HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {patient_server.demo['admin_key']}\r\nContent-Length: 100\r\n\r\n"
    )
    with crowd(patient_server, head.encode() + b'{"name": '):
        assert_served(patient_server, caller)
        assert patient_server.call("GET", "/v1/plans", key=patient_server.demo["admin_key"])


def test_slow_readers_disturb_nobody(patient_server: Server, caller: Caller) -> None:
    """Answers that nobody reads fill the sockets of those who asked, and nothing else."""
    request = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
    with crowd(patient_server, request * PIPELINED, size=CROWD // 4):
        assert_served(patient_server, caller)


@pytest.mark.soak
def test_a_thousand_slow_connections_disturb_nobody(patient_server: Server, caller: Caller) -> None:
    """The size that slowhttptest has by default, and more than one kind at once."""
    request = prediction_request(caller, patient_server.demo["example"])
    with crowd(patient_server, request[:40], size=500), crowd(patient_server, b"", size=500):
        assert_served(patient_server, caller)
