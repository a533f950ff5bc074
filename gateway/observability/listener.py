"""Serve the metrics on an address of their own, from a thread beside everything else.

Threat: metrics tell competitors and attackers what a server does; they are never on the socket that
customers reach.
"""

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from gateway.addresses import is_loopback
from gateway.errors import StartRefused
from gateway.observability.board import Board
from gateway.observability.catalogue import CATALOGUE
from gateway.observability.exposition import exposition
from gateway.observability.meter import Metric
from gateway.settings import Settings

PATH: Final = "/metrics"
_PATIENCE_SECONDS: Final = 10.0
_MAX_PORT: Final = 65535


@contextlib.contextmanager
def metrics_board(settings: Settings) -> Iterator[Board | None]:
    """Serve what all processes of a server count, for the length of a block.

    The board is given to whoever counts: to `run_server` here, or by its descriptor to child
    processes. It is None where no address is set.

    Raises:
        StartRefused: the address is none, must not be used, or cannot be listened on.
    """
    if not settings.metrics_listen:
        yield None
        return
    address = _address(settings.metrics_listen)
    if not (settings.allow_plaintext or is_loopback(address[0])):
        raise StartRefused(
            f"TOLLGATE_METRICS_LISTEN: {address[0]} is not loopback, and everybody who reaches it "
            "could read the metrics. Set TOLLGATE_ALLOW_PLAINTEXT=1 where a network of your own "
            "keeps others out"
        )
    board = Board.create()
    with metrics_served(board, CATALOGUE, address=address):
        yield board


@contextlib.contextmanager
def metrics_served(
    board: Board, catalogue: Sequence[Metric], *, address: tuple[str, int]
) -> Iterator[str]:
    """Answer `GET /metrics` for the length of a block; gives the URL.

    Raises:
        StartRefused: the address cannot be listened on.
    """

    class Handler(_Handler):
        source = (board, catalogue)

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        daemon_threads = True

    try:
        server = Server(address, Handler)
    except OSError as error:
        raise StartRefused(
            f"metrics cannot be served on {address[0]} port {address[1]}: {error.strerror}; "
            "change TOLLGATE_METRICS_LISTEN"
        ) from None
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    try:
        yield f"http://{host}:{server.server_port}{PATH}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    """Know one path, one verb, and write no log."""

    source: tuple[Board, Sequence[Metric]]
    timeout = _PATIENCE_SECONDS
    server_version = "Tollgate"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with the metrics."""
        if self.path.partition("?")[0] != PATH:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        body, content_type = exposition(*self.source, accept=self.headers.get("accept") or "")
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - the base class's own
        """Write nothing: scrapes are not requests of customers."""


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > _MAX_PORT:
        raise StartRefused(
            f"TOLLGATE_METRICS_LISTEN: {text} is no HOST:PORT, such as 127.0.0.1:9464"
        )
    return host.removeprefix("[").removesuffix("]"), int(port)
