"""Speak HTTP/1.1 as uvicorn does, with bounds on what a client sends (RFC 9112, RFC 9110 6.5).

uvicorn and httptools take a head of any size, wait for it and for a body that was answered without
end, mix the fields of a trailer into the header, and answer bytes that are no HTTP with text
instead of a problem document.
"""

import asyncio
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.dataplane.connection import CONNECTION, LOST, WATCH, Headers, Scope
from gateway.dataplane.request_ids import RequestIds
from gateway.dataplane.watch import Watch
from gateway.errors import ClientDisconnected, GatewayError, HeadTooLarge, RequestInvalid
from gateway.http_messages import LastTransport, refusal, without_upgrade
from gateway.http_server import DrainableState
from gateway.intake import Intake
from gateway.observability.observer import RequestObserver
from gateway.problems import problem_of
from gateway.stalled_writes import StalledWrites

MAX_HEAD_BYTES: Final = 64 * 1024
HEAD_SECONDS: Final = 30.0
PAST_SECONDS: Final = 30.0
"""How long a body is read past that comes although its request is answered."""

MAX_PAST_BYTES: Final = 64 * 1024 * 1024
"""How much of it; for as much as the largest body is by default the connection is kept."""

LEAVE_SECONDS: Final = 2.0
"""How long it is read past on a connection that ends with an answer."""

MAX_WAITING: Final = 16
"""Requests that wait on a connection for the answers before theirs."""

_CONNECT: Final = b"CONNECT"
_OK: Final = b"HTTP/1.1 200 OK\r\n"


class _Nowhere(list[tuple[bytes, bytes]]):
    """Where the fields of a trailer go."""

    def append(self, _: tuple[bytes, bytes], /) -> None:
        """Forget a field."""


def _disconnect(cycle: RequestResponseCycle, transport: asyncio.Transport) -> None:
    """Tell a request that its client has left, and let go of the connection at once."""
    cycle.disconnected = not cycle.response_complete
    cycle.message_event.set()
    cycle.on_response, cycle.transport = _ignore, transport
    scope: Scope = cycle.scope  # type: ignore[assignment] # holds ours
    scope[LOST] = True
    scope.pop(CONNECTION, None)
    watch: Watch | None = scope.get(WATCH)
    if watch is not None:
        watch.client_left()


def _ignore() -> None:
    """Hear of an answer that nobody waits for."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection whose requests have small heads that arrive in time.

    Threat: without a credential, one connection could fill the memory with a head that never ends,
    and a thousand silent ones, or ones whose refused bodies never come, could hold every file
    descriptor. A trailer read as a header could carry a credential past a proxy that checks those.

    There is always something that ends the wait for a client: a timer of the connection for a head
    that has begun and for a body that nobody reads, uvicorn's where nothing has begun, and the
    deadline of the request otherwise.

    Cost: one more call for each read and two for each request than uvicorn's, less its looks
    for an upgrade; a timer for each connection, and for each head that comes in several pieces.
    """

    server_state: DrainableState

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*arguments, **options)
        self._head_bytes = 0
        self._past_bytes = 0
        self._is_deaf = False
        self._is_leaving = False
        self._running: RequestResponseCycle = None  # type: ignore[assignment] # as `cycle` is
        self._timer: asyncio.TimerHandle | None = None
        self._intake = Intake(self)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the first head its time."""
        super().connection_made(transport)
        transport.set_protocol(self._intake)
        self._writes = StalledWrites(self.loop, transport)
        self._start_timer(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting, and tell every request that is not answered that its client has left."""
        self._stop_timer()
        self._writes.stop()
        self._unset_keepalive_if_required()
        if self._running is not None:
            _disconnect(self._running, self.transport)
        for waiting, _ in self.pipeline:
            _disconnect(waiting, self.transport)
        self.pipeline.clear()
        super().connection_lost(exc)
        del self._intake  # or each would live on in the other until a collection

    def data_received(self, data: bytes | memoryview) -> None:
        """Read on; refuse a head that is too large and close on what takes too long.

        Once a body has begun its reader decides how it is read on.
        """
        if self._is_deaf:
            return
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
        self._head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._stay_with_http(memoryview(data)[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(RequestInvalid("Invalid HTTP request received."))
        else:
            self._read_on(len(data))

    def _read_on(self, came: int) -> None:
        cycle = self.cycle
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(HeadTooLarge(MAX_HEAD_BYTES))
        elif cycle is None:
            return  # the timer of the first head is running
        elif cycle.response_complete:
            if cycle.more_body:
                self._past_bytes += came
            self._wait_on()
        elif cycle.body and cycle.more_body:
            self.flow.pause_reading()

    def on_headers_complete(self) -> None:
        """Start the request; what comes after its body is no header of it.

        Raises:
            ValueError: there is no single Host; the parser turns it into a 400 (RFC 9112 3.2).
                Or too many requests wait already; those are still answered.
        """
        if self.parser.should_upgrade() and self.parser.get_method() != _CONNECT:
            return
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (not hosts and self.parser.get_http_version() == "1.1"):
            raise ValueError(hosts)
        if len(self.pipeline) == MAX_WAITING:
            raise ValueError(MAX_WAITING)
        scope: Scope = self.scope  # type: ignore[assignment] # holds ours
        scope[CONNECTION] = self
        self._head_bytes = 0
        if self._timer is not None:
            self._stop_timer()
        super().on_headers_complete()
        if not self.pipeline:
            self._running = self.cycle
        self.headers = _Nowhere()
        if self.server_state.is_draining or not self.cycle.keep_alive:
            self._make_last()

    def on_body(self, body: bytes) -> None:
        """Keep what comes of a body, unless its request is answered."""
        self._head_bytes = 0
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.body += body
            cycle.message_event.set()

    def on_message_complete(self) -> None:
        """Expect the next head, or none."""
        cycle = self.cycle
        if cycle is None or not cycle.more_body:
            return  # of a request that asks for another protocol, and is not started yet
        self._head_bytes = 0
        cycle.more_body = False
        if not self.parser.should_keep_alive():
            cycle.keep_alive = False  # a trailer may say so, and the parser reads no more
        if not cycle.response_complete:
            cycle.message_event.set()
        elif cycle.keep_alive:
            self._stop_timer()
        else:
            self._close()

    def on_response_complete(self) -> None:
        """Go on as uvicorn does, but let nobody send the rest of a message for ever."""
        if self._is_leaving:
            return
        if self.pipeline:
            self._running = self.pipeline[-1][0]
        super().on_response_complete()
        if self.transport.is_closing():
            self._writes.watch()
            return
        cycle = self.cycle
        if (cycle.more_body or "method" not in self.scope) and cycle.response_complete:
            self._unset_keepalive_if_required()
            self._past_bytes = 0
            self._wait_on()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection on which nothing comes."""
        self._close()

    def pause_writing(self) -> None:
        """Write no more until the client takes what waits, for which it has its time."""
        super().pause_writing()
        self._writes.watch()

    def resume_writing(self) -> None:
        """Write on."""
        super().resume_writing()
        self._writes.stop()
        if self.transport.is_closing():
            self._writes.watch()

    def answer(self, scope: Scope, headers: Headers, body: bytes) -> bool:
        """Write a whole 200; False where uvicorn has to send it: the last one, or in its turn.

        Cost: a third of what uvicorn takes, which searches every name and value for what must not
        be there. These are of our own making; that none of them breaks its line is seen at once.
        """
        cycle = self.cycle
        if (
            cycle.scope is not scope
            or cycle.response_started
            or cycle.disconnected
            or self.flow.write_paused
            or not cycle.keep_alive
        ):
            return False
        all_headers = (*cycle.default_headers, *headers)
        pieces = [_OK]
        for name, value in all_headers:
            pieces += (name, b": ", value, b"\r\n")
        head = b"".join(pieces)
        lines = 1 + len(all_headers)
        if head.count(b"\n") != lines or head.count(b"\r") != lines:
            return False
        self.transport.writelines((head, b"\r\n", body))
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.message_event.set()
        cycle.on_response()
        return True

    async def receive_into(self, scope: Scope, place: memoryview) -> bool:
        """Fill a place with all that is missing of a body; False where it comes as messages only.

        Raises:
            ClientDisconnected: nobody sends the rest.
        """
        cycle = self.cycle
        if cycle.scope is not scope or cycle.body or not cycle.more_body or cycle.disconnected:
            return False
        intake = self._intake
        self.flow.resume_reading()
        try:
            is_whole = await intake.fill(place)
        except asyncio.CancelledError:
            self.flow.pause_reading()
            intake.read_past()
            raise
        if not is_whole:
            raise ClientDisconnected
        return True

    def body_received(self) -> None:
        """Go on with the next request; the parser of this one still waits for its body."""
        cycle = self.cycle
        cycle.more_body = False
        self._head_bytes = 0
        self._is_deaf = not cycle.keep_alive
        self.parser = self._new_parser()
        if cycle.response_complete and not self._is_deaf:
            self._stop_timer()
            self._wait_on()

    def _stay_with_http(self, rest: memoryview) -> None:
        """Serve a request that asks for another protocol as if it did not (RFC 9110 section 7.8).

        Threat: the parser takes all that follows such a head for the other protocol, and its body
        for none; a body would be lost, or be read as requests that somebody hides in it.
        """
        if self.parser.get_method() == _CONNECT:
            self._is_deaf = True
            self._make_last()
            return
        head = without_upgrade(
            self.parser.get_method(),
            self.url,
            version=self.parser.get_http_version(),
            headers=self.headers,
        )
        self.parser = self._new_parser()
        self.data_received(head)
        self.data_received(rest)

    def _new_parser(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        return parser

    def _refuse(self, error: GatewayError) -> None:
        """Hear no more; say why, but not in the place of an answer that is owed or has begun."""
        if self.transport.is_closing():
            return
        self._is_deaf = True
        cycle = self.cycle
        if self.pipeline and cycle.more_body:
            cycle = self._forget_newest()
        if cycle is None or (cycle.response_complete and not cycle.more_body):
            self._write_refusal(error)
        elif not cycle.more_body:
            self._make_last()
            return
        elif not cycle.response_started:
            cycle.disconnected = True
            cycle.message_event.set()
            self._write_refusal(error)
        elif not cycle.response_complete:
            self._close()  # half an answer has no end
            return
        self._leave()

    def _forget_newest(self) -> RequestResponseCycle:
        """Do not start the request whose body is broken; return the one before it."""
        torn, _ = self.pipeline.popleft()
        _disconnect(torn, self.transport)
        self.cycle = self.pipeline[0][0] if self.pipeline else self._running
        return self.cycle

    def _write_refusal(self, error: GatewayError) -> None:
        problem = problem_of(error)
        request_id = RequestIds().mint()
        observer: RequestObserver | None = self.app_state.get("observer")
        if observer is not None:
            observer.refuse_head(request_id, status=problem.status, code=problem.code)
        self.transport.write(refusal(problem, request_id))

    def _wait_on(self) -> None:
        """Bound what a client still sends that is owed no answer."""
        if self._past_bytes > MAX_PAST_BYTES:
            self._close()
        elif self._timer is None:
            if self.cycle.more_body:
                self._start_timer(PAST_SECONDS)
            elif self._head_bytes or "method" not in self.scope:
                self._start_timer(HEAD_SECONDS)
            else:  # the last byte of a body that was read past
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.timeout_keep_alive, self.timeout_keep_alive_handler
                )

    def _start_timer(self, seconds: float) -> None:
        self._timer = self.loop.call_later(seconds, self._close)

    def _make_last(self) -> None:
        """Let the newest request be the last one of the connection."""
        self.cycle.keep_alive = False
        self.cycle.transport = LastTransport(self.transport, self._leave)  # type: ignore[assignment] # does what it asks for

    def _leave(self) -> None:
        """Close, but first read past what the client may still be sending (RFC 9112 section 9.6).

        A system that closes with something unread sends a reset, upon which the client's forgets
        the answer that had come.
        """
        if self.transport.is_closing() or not (self._is_deaf or self.cycle.more_body):
            self._close()
            return
        self._is_deaf = self._is_leaving = True
        self.transport.write_eof()
        self.flow.resume_reading()
        self._stop_timer()
        self._start_timer(LEAVE_SECONDS)

    def _close(self) -> None:
        """Close once all is sent that was written, but do not wait for that without end."""
        self.transport.close()
        self._writes.watch()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
