"""One connection: small heads that arrive in time, and problem documents for what is no HTTP."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
import uvicorn

from gateway.dataplane.connection import CONNECTION, LOST, WATCH
from gateway.http_protocol import HEAD_SECONDS, MAX_HEAD_BYTES, BoundedHttpProtocol
from gateway.http_server import DrainableState

HEAD = b"POST / HTTP/1.1\r\nhost: x\r\n"


class FakeTransport(asyncio.Transport):
    """Keep what is written, and be closed once."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_closed = False

    def write(self, data: Any) -> None:  # noqa: ANN401 - any buffer
        """Keep the bytes."""
        self.written += bytes(data)

    def close(self) -> None:
        """Remember it."""
        self.is_closed = True

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
        """Let every timer ring that was not cancelled."""
        for _, callback, handle in self.timers:
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


@pytest.fixture
async def connection() -> Connection:
    """Open a connection."""
    return Connection()


def problem_of(written: bytes) -> tuple[bytes, dict[str, Any]]:
    """Read a refusal's status line and document."""
    head, _, body = written.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    document: dict[str, Any] = json.loads(body)
    assert f"x-request-id: {document['request_id']}".encode() in head
    return head.split(b"\r\n")[0], document


async def test_ordinary_request_passes(connection: Connection) -> None:
    """In one piece or in several."""
    request = HEAD + b"content-length: 2\r\n\r\nhi"
    assert b" 204 " in await connection.send(request)
    assert (await connection.send(request[:9], request[9:])).count(b" 204 ") == 2
    assert not connection.transport.is_closed


@pytest.mark.parametrize("line", [b"x-a: b\r\n", b"x-a: " + b"a" * 1000])
async def test_endless_head_is_refused(connection: Connection, line: bytes) -> None:
    """Many headers or one long one: 431 as soon as the bound is passed, and no further reading."""
    pieces = [HEAD, *[line] * (MAX_HEAD_BYTES // len(line) + 1)]
    status, document = problem_of(await connection.send(*pieces))
    assert status == b"HTTP/1.1 431 Request Header Fields Too Large"
    assert document["code"] == "head_too_large"
    assert connection.transport.is_closed


async def test_head_is_bounded_for_each_request(connection: Connection) -> None:
    """Many requests on one connection are not one head."""
    piece = b"x-a: " + b"a" * 20_000 + b"\r\n"
    for _ in range(5):
        await connection.send(HEAD, piece, piece, b"content-length: 0\r\n\r\n")
    assert len(connection.seen) == 5


@pytest.mark.parametrize("pieces", [[], [b"POST"], [HEAD, b"x-a: b"]])
async def test_head_that_does_not_come_ends_the_connection(
    connection: Connection, pieces: list[bytes]
) -> None:
    """Neither silence nor half a head holds a connection for ever."""
    await connection.send(*pieces)
    connection.loop.ring()
    assert connection.transport.is_closed
    assert {seconds for seconds, _, _ in connection.loop.timers} == {HEAD_SECONDS}


async def test_second_head_has_its_time_too(connection: Connection) -> None:
    """A good request first buys no time for a slow one."""
    await connection.send(HEAD + b"content-length: 0\r\n\r\n")
    await connection.send(b"POST / HT")
    connection.loop.ring()
    assert connection.transport.is_closed


async def test_slow_body_is_not_the_heads_business(connection: Connection) -> None:
    """Once the head is there, the request's own deadline counts."""
    connection.protocol.data_received(HEAD + b"content-length: 2\r\n\r\nh")
    connection.loop.ring()
    assert not connection.transport.is_closed
    assert b" 204 " in await connection.send(b"i")


async def test_trailer_is_no_header(connection: Connection) -> None:
    """A credential after the body is not one."""
    chunks = b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nauthorization: Bearer x\r\n\r\n"
    assert b" 204 " in await connection.send(HEAD + chunks)
    assert [name for name, _ in connection.seen[0]] == [b"host", b"transfer-encoding"]


async def test_noise_gets_a_problem_document(connection: Connection) -> None:
    """Clients read `error` as text in every refusal, whoever makes it."""
    status, document = problem_of(await connection.send(b"\0\1\2\r\n\r\n"))
    assert status == b"HTTP/1.1 400 Bad Request"
    assert isinstance(document["error"], str)
    assert connection.transport.is_closed


async def test_lost_connection_leaves_no_timer(connection: Connection) -> None:
    """Its timers do not outlive it."""
    await connection.send(b"POST")
    connection.protocol.connection_lost(None)
    assert all(handle.cancelled() for _, _, handle in connection.loop.timers)


@pytest.mark.parametrize("hosts", [b"", b"host: a\r\nhost: b\r\n"])
async def test_request_without_a_single_host_is_refused(
    connection: Connection, hosts: bytes
) -> None:
    """RFC 9112 section 3.2; a proxy and the server could read two hosts in two ways."""
    status, _ = problem_of(await connection.send(b"GET / HTTP/1.1\r\n" + hosts + b"\r\n"))
    assert status == b"HTTP/1.1 400 Bad Request"
    assert connection.seen == []
    assert connection.transport.is_closed


async def test_http_1_0_needs_no_host(connection: Connection) -> None:
    """It is older than the header."""
    assert b" 204 " in await connection.send(b"GET / HTTP/1.0\r\n\r\n")


async def test_request_on_a_draining_server_is_served_as_the_last(connection: Connection) -> None:
    """The answer says that the connection ends, and then it does."""
    assert b"connection: close" not in await connection.send(HEAD + b"content-length: 0\r\n\r\n")
    connection.protocol.server_state.is_draining = True
    written = await connection.send(HEAD + b"content-length: 0\r\n\r\n")
    assert written.count(b" 204 ") == 2
    assert written.count(b"connection: close") == 1
    assert connection.transport.is_closed


REQUEST = HEAD + b"content-length: 0\r\n\r\n"
ANSWER: Answer = ([(b"content-type", b"text/plain"), (b"content-length", b"2")], b"hi")


async def test_answer_at_once_is_the_one_that_is_sent_in_parts(connection: Connection) -> None:
    """Byte for byte, one after the other on the same connection."""
    connection.protocol.server_state.default_headers = [(b"date", b"today")]
    connection.answer = ANSWER
    at_once = await connection.send(REQUEST)
    assert at_once.startswith(b"HTTP/1.1 200 OK\r\ndate: today\r\ncontent-type: text/plain\r\n")
    connection.protocol.app = sending(*ANSWER)
    assert await connection.send(REQUEST) == 2 * at_once
    assert connection.was_answered_at_once == [True]
    assert not connection.transport.is_closed


def sending(headers: list[tuple[bytes, bytes]], body: bytes) -> Any:  # noqa: ANN401 - an ASGI app
    """Return an app that sends an answer in parts."""

    async def app(_scope: object, _receive: object, send: Any) -> None:  # noqa: ANN401 - ASGI
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_last_answer_of_a_connection_is_sent_in_parts(
    connection: Connection, version: bytes
) -> None:
    """It has to say so, and hang up."""
    connection.answer = ANSWER
    head = HEAD.replace(b"1.1", version) + b"connection: close\r\ncontent-length: 0\r\n\r\n"
    written = await connection.send(head)
    assert connection.was_answered_at_once == [False]
    assert written.endswith(b"connection: close\r\n\r\nhi")
    assert connection.transport.is_closed


@pytest.mark.parametrize("value", [b"a\r\nx-b: c", b"a\nb", b"a\rb"])
async def test_header_that_breaks_its_line_is_never_written(
    connection: Connection, value: bytes
) -> None:
    """Neither at once nor by uvicorn, which hangs up."""
    headers, body = ANSWER
    connection.answer = ([*headers, (b"x-a", value)], body)
    assert await connection.send(REQUEST) == b""
    assert connection.was_answered_at_once == [False]
    assert connection.transport.is_closed


async def test_lost_connection_tells_the_watch_of_its_request(connection: Connection) -> None:
    """A prediction that nobody waits for is stopped."""
    left = []

    class Listener:
        def client_left(self) -> None:
            left.append(True)

    async def app(scope: Any, _receive: object, _send: object) -> None:  # noqa: ANN401 - ASGI
        scope[WATCH] = Listener()
        await asyncio.sleep(3600)

    connection.protocol.app = app
    connection.protocol.data_received(REQUEST)
    await asyncio.sleep(0)
    connection.protocol.connection_lost(None)
    assert left == [True]
    assert LOST in connection.protocol.cycle.scope
    for task in connection.protocol.tasks:
        task.cancel()
