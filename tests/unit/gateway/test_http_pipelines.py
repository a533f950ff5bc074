"""One connection: answers that are owed are given, whatever comes behind their requests."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.http_protocol import HEAD_SECONDS, MAX_HEAD_BYTES
from tests.unit.gateway.http_connection import HEAD, Connection

REQUEST = HEAD + b"content-length: 0\r\n\r\n"
NOISE = b"\0\1\2\r\n\r\n"
LONG = [HEAD, *[b"x-a: " + b"a" * 1000 + b"\r\n"] * (MAX_HEAD_BYTES // 1000 + 1)]


class Gated:
    """A connection to an app that answers when it is told to."""

    def __init__(self) -> None:
        self.connection = Connection()
        self.gate = asyncio.Event()
        self.connection.protocol.app = self._app

    def feed(self, *pieces: bytes) -> None:
        """Hand bytes over."""
        for piece in pieces:
            self.connection.protocol.data_received(piece)

    async def end(self) -> bytes:
        """Let the app answer, and return all that was written."""
        self.gate.set()
        return await self.connection.send()

    async def _app(self, _scope: object, _receive: object, send: Any) -> None:  # noqa: ANN401 - ASGI
        await self.gate.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def gated() -> AsyncIterator[Gated]:
    """Open a connection, and leave no request behind."""
    opened = Gated()
    yield opened
    await opened.end()


@pytest.mark.parametrize("following", [[NOISE], LONG, [b"GET / HTTP/1.1\r\n\r\n"]])
async def test_refusal_does_not_take_the_place_of_an_answer(
    gated: Gated, following: list[bytes]
) -> None:
    """The requests before it are answered, and then the connection ends."""
    gated.feed(REQUEST + REQUEST, *following)
    assert gated.connection.transport.written == b""
    assert not gated.connection.transport.is_closed
    written = await gated.end()
    assert written.count(b"HTTP/1.1 ") == written.count(b" 204 ") == 2
    assert written.count(b"connection: close") == 1
    assert gated.connection.transport.is_closed


async def test_half_a_head_does_not_end_a_request_that_runs(gated: Gated) -> None:
    """Its time begins when nothing else is owed."""
    gated.feed(REQUEST, b"POST")
    gated.connection.loop.ring()
    assert not gated.connection.transport.is_closed
    assert b" 204 " in await gated.end()
    running = [
        seconds for seconds, _, timer in gated.connection.loop.timers if not timer.cancelled()
    ]
    assert running == [HEAD_SECONDS]
    gated.connection.loop.ring()
    assert gated.connection.transport.is_closed


async def test_body_counts_for_no_head_behind_it(gated: Gated) -> None:
    """A piece may end a body and begin a head."""
    body = bytes(MAX_HEAD_BYTES)
    gated.feed(HEAD + b"content-length: %d\r\n\r\n" % len(body), body + REQUEST[:5], REQUEST[5:])
    written = await gated.end()
    assert written.count(b"HTTP/1.1 ") == written.count(b" 204 ") == 2


async def test_broken_body_gets_one_answer(gated: Gated) -> None:
    """The refusal is it."""
    gated.feed(HEAD + b"transfer-encoding: chunked\r\n\r\n", b"zz\r\n")
    written = await gated.end()
    assert written.startswith(b"HTTP/1.1 400 ")
    assert written.count(b"HTTP/1.1 ") == 1
    assert gated.connection.transport.is_closed
