"""A stand-in for the gateway on a unix socket, which answers with what reached it."""

import contextlib
import json
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

HANG = "/hang"
DROP = "/drop"
NOT_FOUND = "/not-found"
ARRIVAL_SECONDS = 30.0


@dataclass
class Echo:
    """Where it listens, and every request that reached it: method and target, as they were sent."""

    path: Path
    requests: list[tuple[str, str]] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)
    arrival: threading.Condition = field(default_factory=threading.Condition)

    def note(self, method: str, target: str) -> None:
        """Write a request down."""
        with self.arrival:
            self.requests.append((method, target))
            self.arrival.notify_all()

    def wait_for(self, count: int) -> None:
        """Wait until so many requests have come."""
        with self.arrival:
            assert self.arrival.wait_for(lambda: len(self.requests) >= count, ARRIVAL_SECONDS)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    echo: Echo

    def address_string(self) -> str:
        """Answer for the base class, which expects a host and a port."""
        return "unix"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the base class
        """Stay quiet."""

    def handle_one_request(self) -> None:
        """Serve whatever method comes."""
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        self.echo.note(self.command, self.path)
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == DROP:
            self.close_connection = True
            return
        if self.path == HANG:
            self.echo.is_over.wait()
            self.close_connection = True
            return
        seen = {
            "method": self.command,
            "target": self.path,
            "headers": [[name.lower(), value] for name, value in self.headers.items()],
            "body_bytes": len(body),
        }
        content = json.dumps(seen).encode()
        self.send_response_only(404 if self.path == NOT_FOUND else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 1024


@contextlib.contextmanager
def running_echo(path: Path) -> Iterator[Echo]:
    """Run one for the length of a block."""
    echo = Echo(path)
    handler = type("_Bound", (_Handler,), {"echo": echo})
    with _Server(str(path), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield echo
        finally:
            echo.is_over.set()
            server.shutdown()
            thread.join()
