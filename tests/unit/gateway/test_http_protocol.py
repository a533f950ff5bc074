"""One connection: small heads that arrive in time, and problem documents for what is no HTTP."""

import asyncio
import json
from typing import Any

import pytest

from gateway.dataplane.connection import LOST, WATCH
from gateway.http_protocol import HEAD_SECONDS, MAX_HEAD_BYTES
from tests.unit.gateway.http_connection import HEAD, Answer, Connection, sending


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
    assert connection.transport.is_over


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
    assert connection.transport.is_over


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
    assert connection.transport.is_over


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
