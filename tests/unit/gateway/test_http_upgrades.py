"""One connection: whoever asks for another protocol is served in this one."""

from typing import Any

import pytest

from gateway.dataplane.connection import CONNECTION
from tests.unit.gateway.http_connection import Connection

ASKING = (
    b"POST /infer?a=b HTTP/1.1\r\nhost: x\r\nx-empty:\r\nx-a: a, b\r\n"
    b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\nUpgrade: h2c\r\n"
)
WEBSOCKET = ASKING.replace(b"h2c", b"websocket")
TRAP = b"GET /trap HTTP/1.1\r\nhost: x\r\n\r\n"
LENGTH = b"content-length: %d\r\n\r\n" % len(TRAP)
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"
PLAIN = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


class Told:
    """A connection to an app that tells what it was asked, and answers with the body."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[bytes, bytes], bytes]] = []
        self.connection = Connection()
        self.connection.protocol.app = self._app

    async def ask(self, stream: bytes, piece_bytes: int) -> None:
        """Send bytes in pieces of a size."""
        pieces = range(0, len(stream), piece_bytes)
        for start in pieces:
            self.connection.protocol.data_received(stream[start : start + piece_bytes])
        await self.connection.send()

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
        body, has_more = b"", True
        while has_more:
            message = await receive()
            body += message["body"]
            has_more = message["more_body"]
        self.seen.append((scope["path"], dict(scope["headers"]), body))
        assert CONNECTION in scope
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def told() -> Told:
    """Open a connection."""
    return Told()


@pytest.mark.parametrize("piece_bytes", [1, 7, 100, 10_000])
@pytest.mark.parametrize("head", [ASKING, WEBSOCKET])
@pytest.mark.parametrize(
    "body", [LENGTH + TRAP, CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(TRAP), TRAP)]
)
async def test_body_of_a_request_that_asks_for_an_upgrade_is_its_own(
    told: Told, *, head: bytes, body: bytes, piece_bytes: int
) -> None:
    """It is neither lost nor a request, and what follows it is the next one."""
    await told.ask(head + body + PLAIN + head + body, piece_bytes)
    assert [(path, body) for path, _, body in told.seen] == [
        ("/infer", TRAP),
        ("/", b""),
        ("/infer", TRAP),
    ]
    assert told.connection.transport.written.count(b"HTTP/1.1 200 ") == 3
    assert not told.connection.transport.is_closed


async def test_headers_of_such_a_request_are_all_there(told: Told) -> None:
    """But for the wish itself."""
    await told.ask(ASKING + LENGTH + TRAP, 50)
    [(_, headers, _)] = told.seen
    assert b"upgrade" not in headers
    assert (headers[b"x-empty"], headers[b"x-a"]) == (b"", b"a, b")
    assert headers[b"http2-settings"] == b"AAEAAEAAAAIAAAAB"


async def test_such_a_request_may_be_refused(told: Told) -> None:
    """Like any other."""
    await told.ask(ASKING.replace(b"host: x\r\n", b"") + LENGTH + TRAP, 10_000)
    assert told.seen == []
    assert told.connection.transport.written.startswith(b"HTTP/1.1 400 ")
    assert told.connection.transport.is_over


async def test_many_such_requests_come_in_one_piece(told: Told) -> None:
    """Each is as long as it says."""
    await told.ask((ASKING + LENGTH + TRAP) * 10, 60_000)
    assert len(told.seen) == 10


@pytest.mark.parametrize("piece_bytes", [1, 10_000])
async def test_nothing_is_read_behind_connect(told: Told, piece_bytes: int) -> None:
    """There is no tunnel, and what somebody sends through it is no request."""
    await told.ask(
        b"CONNECT /x HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n" + TRAP, piece_bytes
    )
    assert [path for path, _, _ in told.seen] == ["/x"]
    assert told.connection.transport.written.count(b"HTTP/1.1 ") == 1
    assert told.connection.transport.is_over
