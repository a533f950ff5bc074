"""A connection without a socket: what it writes is kept, and timers ring when a test says so."""

import asyncio
from collections.abc import Callable
from typing import Any

import uvicorn

from gateway.dataplane.connection import CONNECTION
from gateway.http_protocol import BoundedHttpProtocol
from gateway.http_server import DrainableState

HEAD = b"POST / HTTP/1.1\r\nhost: x\r\n"


class FakeTransport(asyncio.Transport):
    """Keep what is written, and be closed once."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_closed = False
        self.is_ended = False
        self.is_cut = False
        self.waiting_bytes = 0

    def write(self, data: Any) -> None:  # noqa: ANN401 - any buffer
        """Keep the bytes."""
        self.written += bytes(data)

    def close(self) -> None:
        """Remember it."""
        self.is_closed = True

    def write_eof(self) -> None:
        """Remember it."""
        self.is_ended = True

    @property
    def is_over(self) -> bool:
        """Say whether nothing more is sent."""
        return self.is_ended or self.is_closed

    def abort(self) -> None:
        """Remember it."""
        self.is_cut = True

    def get_write_buffer_size(self) -> int:
        """Say what the test says."""
        return self.waiting_bytes

    def is_closing(self) -> bool:
        """Say whether it was closed."""
        return self.is_closed

    def set_protocol(self, _: asyncio.BaseProtocol) -> None:
        """The test hands over what comes."""

    def pause_reading(self) -> None:
        """Nothing is read here."""

    def resume_reading(self) -> None:
        """Nothing is read here."""


class FakeLoop:
    """Keep timers until the test lets them ring; everything else is the running loop's."""

    def __init__(self) -> None:
        self.timers: list[tuple[float, Callable[[], object], asyncio.TimerHandle]] = []
        self._loop = asyncio.get_running_loop()

    def call_later(self, seconds: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
        """Keep a timer."""
        handle = self._loop.call_later(3600, callback)
        self.timers.append((seconds, callback, handle))
        return handle

    def create_task(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - the loop's own
        """Start a task of the running loop."""
        return self._loop.create_task(*arguments, **options)

    def ring(self) -> None:
        """Let every timer ring that runs; not those that are started by that."""
        for _, callback, handle in list(self.timers):
            if not handle.cancelled():
                handle.cancel()
                callback()


Answer = tuple[list[tuple[bytes, bytes]], bytes]


class Connection:
    """A connection to an app that tells the headers it saw."""

    def __init__(self) -> None:
        self.seen: list[list[tuple[bytes, bytes]]] = []
        self.answer: Answer | None = None
        self.was_answered_at_once: list[bool] = []
        self.loop = FakeLoop()
        self.transport = FakeTransport()
        config = uvicorn.Config(
            self._app, interface="asgi3", lifespan="off", log_config=None, ws="none"
        )
        config.load()
        self.protocol = BoundedHttpProtocol(
            config=config, server_state=DrainableState(), app_state={}, _loop=self.loop
        )
        self.protocol.connection_made(self.transport)

    async def send(self, *pieces: bytes) -> bytes:
        """Hand bytes over, let the app run, and return everything that was written so far."""
        for piece in pieces:
            self.protocol.data_received(piece)
        while self.protocol.tasks:
            await asyncio.wait(list(self.protocol.tasks))
        return self.transport.written

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
        while (await receive()).get("more_body"):
            pass
        self.seen.append(list(scope["headers"]))
        status, headers, body = 204, list[tuple[bytes, bytes]](), b""
        if self.answer is not None:
            status, (headers, body) = 200, self.answer
            is_answered = scope[CONNECTION].answer(scope, headers, body)
            self.was_answered_at_once.append(is_answered)
            if is_answered:
                return
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def sending(headers: list[tuple[bytes, bytes]], body: bytes) -> Any:  # noqa: ANN401 - an ASGI app
    """Return an app that sends an answer in parts."""

    async def app(_scope: object, _receive: object, send: Any) -> None:  # noqa: ANN401 - ASGI
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app
