"""The health check of the image: exit 0 exactly when the server says that it is ready."""

import http.server
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scripts import healthcheck


class Handler(http.server.BaseHTTPRequestHandler):
    """Answer as the path and the server's `status` say."""

    def do_GET(self) -> None:
        """Answer the readiness question."""
        assert isinstance(self.server, UnixServer | TcpServer)
        status = self.server.status if self.path == "/healthz/ready" else 404
        self.send_response(status)
        self.end_headers()
        self.wfile.write(b"{}")

    def address_string(self) -> str:
        """Name the caller; one on a unix socket has no address."""
        return "caller"

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class UnixServer(socketserver.UnixStreamServer):
    """A server on a unix socket."""

    status = 200


class TcpServer(socketserver.TCPServer):
    """A server on a port."""

    status = 200


@contextmanager
def serving(server: UnixServer | TcpServer, status: int) -> Iterator[None]:
    """Answer one request with a status."""
    server.status = status
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    try:
        yield
    finally:
        thread.join()
        server.server_close()


@pytest.fixture
def socket_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name a unix socket, in the settings too."""
    path = str(tmp_path / "socket")
    monkeypatch.setenv("TOLLGATE_UNIX_SOCKET", path)
    return path


@pytest.mark.parametrize(("status", "expected"), [(200, 0), (503, 1), (404, 1)])
def test_exit_status_follows_the_answer_on_a_unix_socket(
    socket_path: str, status: int, expected: int
) -> None:
    """That is where the gateway of the stack listens."""
    with serving(UnixServer(socket_path, Handler), status):
        assert healthcheck.main() == expected


def test_server_on_every_address_is_asked_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """`docker run` with a port listens so."""
    server = TcpServer(("127.0.0.1", 0), Handler)
    monkeypatch.delenv("TOLLGATE_UNIX_SOCKET", raising=False)
    monkeypatch.setenv("TOLLGATE_HOST", "0.0.0.0")  # noqa: S104 - the setting under test
    monkeypatch.setenv("TOLLGATE_PORT", str(server.server_address[1]))
    with serving(server, 200):
        assert healthcheck.main() == 0


@pytest.mark.usefixtures("socket_path")
def test_server_that_is_not_there_is_not_healthy() -> None:
    """It is told in a line, not in a traceback."""
    assert healthcheck.main() == 1
