"""One connection: answers that are owed are given, whatever comes behind their requests."""

import asyncio
import gc
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import pytest

from gateway.dataplane.connection import CONNECTION, LOST, WATCH
from gateway.http_protocol import HEAD_SECONDS, MAX_HEAD_BYTES, MAX_WAITING
from tests.unit.gateway.http_connection import HEAD, Connection

REQUEST = HEAD + b"content-length: 0\r\n\r\n"
NOISE = b"\0\1\2\r\n\r\n"
LONG = [HEAD, *[b"x-a: " + b"a" * 1000 + b"\r\n"] * (MAX_HEAD_BYTES // 1000 + 1)]


class Gated:
    """A connection to an app that answers when it is told to."""

    def __init__(self) -> None:
        self.connection = Connection()
        self.gate = asyncio.Event()
        self.started: list[MutableMapping[str, Any]] = []
        self.left: list[str] = []
        self.connection.protocol.app = self._app

    def feed(self, *pieces: bytes) -> None:
        """Hand bytes over."""
        for piece in pieces:
            self.connection.protocol.data_received(piece)

    async def end(self) -> bytes:
        """Let the app answer, and return all that was written."""
        self.gate.set()
        return await self.connection.send()

    def client_left(self) -> None:
        """Be the watch of each request."""
        self.left.append("left")

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
        scope[WATCH] = self
        self.started.append(scope)
        await self.gate.wait()
        if (await receive())["type"] == "http.disconnect":
            self.left.append("told")
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
    assert gated.connection.transport.is_over


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
    assert gated.connection.transport.is_over


async def test_broken_body_that_waits_takes_no_answer_away(gated: Gated) -> None:
    """Its request is not started."""
    gated.feed(REQUEST, HEAD + b"transfer-encoding: chunked\r\n\r\n", b"zz\r\n")
    written = await gated.end()
    assert written.count(b"HTTP/1.1 ") == written.count(b" 204 ") == 1
    assert len(gated.started) == 1
    assert gated.connection.transport.is_over


async def test_client_that_leaves_is_missed_by_the_request_that_runs(gated: Gated) -> None:
    """The ones behind it are never started."""
    gated.feed(REQUEST * 3)
    await asyncio.sleep(0)
    gated.connection.protocol.connection_lost(None)
    assert gated.left == ["left"]
    assert LOST in gated.started[0]
    assert await gated.end() == b""
    assert gated.left == ["left", "told"]
    assert len(gated.started) == 1


async def test_requests_that_wait_hold_no_connection_that_is_lost(gated: Gated) -> None:
    """Each would live on in the other until a collection."""
    gated.feed(REQUEST * 3)
    waiting = [cycle for cycle, _ in gated.connection.protocol.pipeline]
    gated.connection.protocol.connection_lost(None)
    assert len(waiting) == 2
    for cycle in waiting:
        assert CONNECTION not in cycle.scope
        assert LOST in cycle.scope
        assert gated.connection.protocol not in gc.get_referents(cycle.on_response)
    assert not gated.connection.protocol.pipeline


@pytest.mark.parametrize("error", [None, ConnectionResetError()])
async def test_idle_connection_that_is_lost_leaves_no_timer(
    gated: Gated, error: Exception | None
) -> None:
    """However it ends."""
    gated.feed(REQUEST)
    await gated.end()
    gated.connection.protocol.connection_lost(error)
    assert all(timer.cancelled() for _, _, timer in gated.connection.loop.timers)


@pytest.mark.parametrize("ask", [b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", REQUEST])
async def test_requests_beyond_what_may_wait_are_not_kept(gated: Gated, ask: bytes) -> None:
    """What was taken is answered; then the connection ends, and the client may ask again."""
    gated.feed(ask * 1000)
    assert len(gated.connection.protocol.pipeline) == MAX_WAITING
    written = await gated.end()
    assert written.count(b"HTTP/1.1 ") == written.count(b" 204 ") == MAX_WAITING + 1
    assert written.count(b"connection: close") == 1
    assert gated.connection.transport.is_over


async def test_client_that_takes_nothing_is_cut(gated: Gated) -> None:
    """However much is written for it."""
    transport = gated.connection.transport
    transport.waiting_bytes = 100_000
    gated.connection.protocol.pause_writing()
    gated.connection.loop.ring()
    assert transport.is_cut


async def test_client_that_takes_its_time_is_not_cut(gated: Gated) -> None:
    """A long answer over a slow line gets less all the time."""
    transport = gated.connection.transport
    gated.feed(REQUEST)
    await gated.end()
    transport.waiting_bytes = 100_000
    gated.connection.protocol.pause_writing()
    for waiting in (80_000, 60_000, 0):
        transport.waiting_bytes = waiting
        gated.connection.loop.ring()
        assert not transport.is_cut
    gated.connection.protocol.resume_writing()


async def test_connection_that_closes_is_cut_when_its_end_is_not_taken(gated: Gated) -> None:
    """The system would wait for ever to send it."""
    transport = gated.connection.transport
    gated.feed(REQUEST)
    await gated.end()
    transport.waiting_bytes = 100_000
    gated.connection.protocol.pause_writing()
    transport.waiting_bytes = 1000
    gated.connection.loop.ring()
    assert (transport.is_closed, transport.is_cut) == (True, False)
    gated.connection.protocol.resume_writing()
    gated.connection.loop.ring()
    assert transport.is_cut
