"""A billing system on loopback that takes usage as OpenMeter or Stripe does, and misbehaves."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs


class BillingReceiver:
    """What was received so far, and how the next requests are answered.

    Each word of `script` is for one request: `ok`, a status, `lost` (taken, and the connection
    closed without an answer), `deaf` (closed without being read), `hang` (never answered) or `late`
    (answered with 503 although taken). An empty script is `ok` for ever.
    """

    def __init__(self) -> None:
        self.script: list[str] = []
        self.taken: list[dict[str, Any]] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.refused_ids: set[str] = set()
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.port = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def by_id(self) -> dict[str, dict[str, Any]]:
        """Return what was taken, each id once; twice the same id is the same event."""
        events: dict[str, dict[str, Any]] = {}
        for event in self.taken:
            assert events.setdefault(event["id"], event) == event
        return events

    def next_word(self) -> str:
        """Return how to answer now."""
        with self.lock:
            return self.script.pop(0) if self.script else "ok"

    def take(self, body: bytes, content_type: str) -> int:
        """Keep what a request holds, all of it or nothing; return the status."""
        if content_type == "application/x-www-form-urlencoded":
            form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            events = [form | {"id": form["identifier"]}]
        else:
            document = json.loads(body)
            is_batch = content_type == "application/cloudevents-batch+json"
            assert is_batch == isinstance(document, list), content_type
            events = document if is_batch else [document]
        if self.refused_ids & {event["id"] for event in events}:
            return 400
        with self.lock:
            self.taken += events
        return 204


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    receiver: BillingReceiver

    def do_POST(self) -> None:
        word = self.receiver.next_word()
        if word == "deaf":
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers["content-length"]))
        self.receiver.requests.append((self.path, dict(self.headers)))
        status = int(word) if word.isdigit() else 503
        if word in ("ok", "lost", "late"):
            taken = self.receiver.take(body, self.headers["content-type"])
            status = 503 if word == "late" else taken
        if word == "hang":
            self.receiver.ended.wait()
        if word in ("lost", "hang"):
            self.close_connection = True
            return
        self._answer(status)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        if status in (429, 503):
            self.send_header("retry-after", "7")
        self.end_headers()

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - the base class's own
        """Write nothing."""


@contextlib.contextmanager
def running_billing_receiver() -> Iterator[BillingReceiver]:
    """Listen for the length of a block."""
    receiver = BillingReceiver()
    handler = type("Handler", (_Handler,), {"receiver": receiver})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    receiver.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
