"""Speak HTTP/1.1 as uvicorn does, with bounds on a request's head (RFC 9112, RFC 9110 section 6.5).

uvicorn and httptools take a head of any size, wait for it without end, mix the fields of a trailer
into the header, and answer bytes that are no HTTP with text instead of a problem document.
"""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.dataplane.request_ids import RequestIds
from gateway.dataplane.watch import LOST
from gateway.errors import GatewayError, HeadTooLarge, RequestInvalid
from gateway.http_server import DrainableState
from gateway.observability.observer import RequestObserver
from gateway.problems import problem_headers, problem_of

MAX_HEAD_BYTES: Final = 64 * 1024
HEAD_SECONDS: Final = 30.0
_REASONS: Final = {400: b"Bad Request", 431: b"Request Header Fields Too Large"}


class _Nowhere(list[tuple[bytes, bytes]]):
    """Where the fields of a trailer go."""

    def append(self, _: tuple[bytes, bytes], /) -> None:
        """Forget a field."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection whose requests have small heads that arrive in time.

    Threat: without a credential, one connection could fill the memory with a head that never ends,
    and a thousand silent ones could hold every file descriptor. A trailer read as a header could
    carry a credential past a proxy that checks headers.

    Cost: one more call for each read and each request; a timer for each connection, and for each
    head that comes in more than one piece.
    """

    server_state: DrainableState

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*arguments, **options)
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the first head its time."""
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_SECONDS, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the head that will not come, and tell a request that its client has left."""
        self._stop_head_timer()
        if self.cycle is not None:
            self.cycle.scope[LOST] = True  # type: ignore[literal-required] # ours, not ASGI's
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; refuse a head that is too large and close on one that takes too long."""
        super().data_received(data)
        if self.scope is not None and "method" in self.scope:
            self._head_bytes = 0
            if self._head_timer is not None:
                self._stop_head_timer()
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(HeadTooLarge(MAX_HEAD_BYTES))
        elif self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def on_headers_complete(self) -> None:
        """Start the request; what comes after its body is no header of it.

        Raises:
            ValueError: there is no single Host; the parser turns it into a 400 (RFC 9112 3.2).
        """
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (not hosts and self.parser.get_http_version() == "1.1"):
            raise ValueError(hosts)
        super().on_headers_complete()
        self.headers = _Nowhere()
        if self.server_state.is_draining:
            self.cycle.keep_alive = False

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are no HTTP, and hang up."""
        self._refuse(RequestInvalid(msg))

    def _refuse(self, error: GatewayError) -> None:
        if self.transport.is_closing():
            return
        problem = problem_of(error)
        request_id = RequestIds().mint()
        body = problem.body(request_id)
        observer: RequestObserver | None = self.app_state.get("observer")
        if observer is not None:
            observer.refuse_head(request_id, status=problem.status, code=problem.code)
        headers = [*problem_headers(problem, request_id, body), (b"connection", b"close")]
        lines = [b"HTTP/1.1 %d %s" % (problem.status, _REASONS[problem.status])]
        lines += [b"%s: %s" % header for header in headers]
        self.transport.write(b"\r\n".join([*lines, b"", body]))
        self.transport.close()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
