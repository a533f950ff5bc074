"""A client over a real socket, and an app that it asks."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn

from gateway.dataplane.connection import CONNECTION
from gateway.http_protocol import BoundedHttpProtocol
from gateway.http_server import DrainableState

SECONDS = 20.0

App = Callable[[Any, Any, Any], Awaitable[None]]


async def answer_with(send: Any, body: bytes, *, status: int = 200) -> None:  # noqa: ANN401 - ASGI
    """Send an answer."""
    await send({"type": "http.response.start", "status": status, "headers": [length_of(body)]})
    await send({"type": "http.response.body", "body": body})


def length_of(body: bytes) -> tuple[bytes, bytes]:
    """Announce a body."""
    return b"content-length", b"%d" % len(body)


class Remembering:
    """An app that knows which of the connections that it was asked over are still there."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._connections: list[weakref.ref[Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
        """Answer as the app does."""
        self._connections.append(weakref.ref(scope[CONNECTION]))
        await self._app(scope, receive, send)

    def connections(self) -> list[object]:
        """List the connection of each request; None for one that is gone."""
        return [one() for one in self._connections]


@contextmanager
def no_collection() -> Iterator[None]:
    """Keep the garbage collector away."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Client:
    """One connection to an app."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *pieces: bytes) -> None:
        """Send pieces, each on its way before the next one is."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0)

    async def answer(self) -> tuple[int, bytes]:
        """Read a status and a body."""
        async with asyncio.timeout(SECONDS):
            head = await self.reader.readuntil(b"\r\n\r\n")
            lines = head.lower().split(b"\r\n")
            size = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
            return int(lines[0].split()[1]), await self.reader.readexactly(size)


@asynccontextmanager
async def connected(app: App) -> AsyncIterator[Client]:
    """Serve an app on loopback and connect to it."""
    config = uvicorn.Config(app, interface="asgi3", lifespan="off", log_config=None, ws="none")
    config.load()
    state = DrainableState()

    def protocol() -> BoundedHttpProtocol:
        return BoundedHttpProtocol(config=config, server_state=state, app_state={})

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        if state.tasks:
            await asyncio.wait(state.tasks, timeout=SECONDS)
        assert not state.tasks
        async with asyncio.timeout(SECONDS):
            while state.connections:  # noqa: ASYNC110 - their end is no event
                await asyncio.sleep(0.01)


def request_of(body: bytes, path: str = "/infer") -> bytes:
    """Write a request with a body of a known length."""
    head = b"POST %b HTTP/1.1\r\nhost: x\r\n%b: %b\r\n\r\n" % (path.encode(), *length_of(body))
    return head + body
