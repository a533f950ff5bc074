"""One connection: whatever a client holds back, the wait for it ends."""

import asyncio

import pytest

from gateway.http_protocol import (
    HEAD_SECONDS,
    LEAVE_SECONDS,
    MAX_HEAD_BYTES,
    MAX_PAST_BYTES,
    PAST_SECONDS,
)
from tests.unit.gateway.http_connection import HEAD, Connection, sending

REQUEST = HEAD + b"content-length: 0\r\n\r\n"
UNFINISHED = HEAD + b"content-length: 1000000000000000\r\n\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
PIECE = bytes(64 * 1024)


@pytest.fixture
async def connection() -> Connection:
    """Open a connection."""
    return Connection()


@pytest.fixture
async def refusing() -> Connection:
    """Open a connection to an app that answers by the head alone."""
    opened = Connection()
    opened.protocol.app = sending([], b"")
    return opened


def waits(connection: Connection) -> list[float]:
    """List the timers that run, in seconds."""
    return [seconds for seconds, _, handle in connection.loop.timers if not handle.cancelled()]


def keep_alive_waits(connection: Connection) -> bool:
    """Say whether uvicorn's timer of an idle connection runs."""
    timer = connection.protocol.timeout_keep_alive_task
    return timer is not None and not timer.cancelled()


@pytest.mark.parametrize("pieces", [[], [b"x"], [b"x", b"x", b"x"]])
async def test_body_that_stops_after_the_answer_ends_the_connection(
    refusing: Connection, pieces: list[bytes]
) -> None:
    """From the answer on its time is fixed, whatever trickles in."""
    await refusing.send(UNFINISHED, *pieces)
    await refusing.send(*pieces)
    assert waits(refusing) == [PAST_SECONDS]
    refusing.loop.ring()
    assert refusing.transport.is_closed


async def test_endless_body_is_not_read_past(refusing: Connection) -> None:
    """An announced length buys no bandwidth."""
    await refusing.send(UNFINISHED)
    for _ in range(MAX_PAST_BYTES // len(PIECE)):
        refusing.protocol.data_received(PIECE)
    assert not refusing.transport.is_closed
    refusing.protocol.data_received(b"x")
    assert refusing.transport.is_closed


@pytest.mark.parametrize(
    ("head", "rest"),
    [(HEAD + b"content-length: 2\r\n\r\n", b"hi"), (CHUNKED, b"2\r\nhi\r\n0\r\n\r\n")],
)
async def test_connection_is_idle_after_a_body_that_was_read_past(
    refusing: Connection, head: bytes, rest: bytes
) -> None:
    """It is kept as after any other request, and serves the next one."""
    await refusing.send(head)
    await refusing.send(rest[:1])
    await refusing.send(rest[1:])
    assert len(waits(refusing)) == 1
    assert keep_alive_waits(refusing)
    await refusing.send(REQUEST)
    assert refusing.transport.written.count(b"HTTP/1.1 200 ") == 2


async def test_head_behind_a_body_that_was_read_past_has_its_time(refusing: Connection) -> None:
    """It begins in the piece in which the body ends."""
    await refusing.send(HEAD + b"content-length: 2\r\n\r\n")
    await refusing.send(b"hiPOST")
    assert waits(refusing) == [HEAD_SECONDS]


async def test_empty_lines_do_not_hold_a_connection(connection: Connection) -> None:
    """The parser skips them, and they are no head."""
    await connection.send(REQUEST)
    for _ in range(3):
        await connection.send(b"\r\n")
    assert waits(connection) == [HEAD_SECONDS]
    assert b" 204 " in await connection.send(REQUEST)


async def test_request_behind_a_body_that_was_read_past_has_no_timer(
    refusing: Connection,
) -> None:
    """Nothing ends a connection whose request is being served."""
    await refusing.send(HEAD + b"content-length: 2\r\n\r\n")
    refusing.protocol.app = _never
    refusing.protocol.data_received(b"hi" + REQUEST)
    assert waits(refusing) == []
    for task in refusing.protocol.tasks:
        task.cancel()


async def _never(*_: object) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("is_answered", [False, True])
async def test_endless_trailer_ends_the_connection(*, is_answered: bool) -> None:
    """It would fill the memory, and each of its pieces would be slower than the one before."""
    connection = Connection()
    connection.protocol.app = sending([], b"") if is_answered else _never
    connection.protocol.data_received(CHUNKED + b"1\r\nx\r\n0\r\nx-a: ")
    if is_answered:
        await connection.send()
    pieces = 0
    while not connection.transport.is_over:
        connection.protocol.data_received(bytes(1024).replace(b"\0", b"a"))
        pieces += 1
    assert pieces <= MAX_HEAD_BYTES // 1024 + 1
    assert connection.transport.written.count(b"HTTP/1.1 ") == 1
    for task in connection.protocol.tasks:
        task.cancel()


@pytest.mark.parametrize("is_answered", [False, True])
async def test_trailer_may_end_the_connection(*, is_answered: bool) -> None:
    """The parser reads nothing behind one that says so."""
    connection = Connection()
    if is_answered:
        connection.protocol.app = sending([], b"")
        await connection.send(CHUNKED)
        await connection.send(b"1\r\nx\r\n0\r\nconnection: close\r\n\r\n")
    else:
        written = await connection.send(CHUNKED + b"1\r\nx\r\n0\r\nconnection: close\r\n\r\n")
        assert b"connection: close" in written
    assert connection.transport.is_closed


async def test_small_trailer_behind_a_large_piece_is_read(connection: Connection) -> None:
    """What counts is the trailer alone."""
    chunk = b"%x\r\n" % len(PIECE) + PIECE
    await connection.send(CHUNKED + chunk + b"\r\n0\r\nx-a: ", b"b\r\n\r\n")
    assert b" 204 " in connection.transport.written


async def test_connection_that_is_left_is_closed_in_time(connection: Connection) -> None:
    """A client that sends on is not read past for ever."""
    await connection.send(b"\0\1\2\r\n\r\n", b"more")
    assert (connection.transport.is_ended, connection.transport.is_closed) == (True, False)
    assert waits(connection) == [LEAVE_SECONDS]
    connection.loop.ring()
    assert connection.transport.is_closed


async def test_last_request_without_a_body_is_closed_at_once(connection: Connection) -> None:
    """Nothing can be unread."""
    await connection.send(HEAD + b"connection: close\r\ncontent-length: 0\r\n\r\n")
    assert (connection.transport.is_ended, connection.transport.is_closed) == (False, True)
