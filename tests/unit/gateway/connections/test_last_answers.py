"""The last answer of a connection arrives, although its client is still sending."""

import asyncio
from typing import Any

import pytest

from gateway.http_protocol import MAX_WAITING
from tests.unit.gateway.connections.client import (
    SECONDS,
    Remembering,
    answer_with,
    connected,
    no_collection,
    request_of,
)

MUCH = 8_000_000


async def refuse(_scope: object, _receive: object, send: Any) -> None:  # noqa: ANN401 - ASGI
    """Answer by the head alone."""
    await answer_with(send, b"no", status=401)


def last(request: bytes) -> bytes:
    """Say that the connection ends with a request."""
    return request.replace(b"host: x", b"host: x\r\nconnection: close")


async def test_refusal_reaches_a_client_that_sends_its_body_all_the_same() -> None:
    """It may look for an answer only when all is sent."""
    async with connected(refuse) as client:
        await client.send(last(request_of(bytes(MUCH))))
        assert await client.answer() == (401, b"no")
        assert await client.reader.read() == b""


async def test_refusal_reaches_a_client_whose_head_goes_on() -> None:
    """Far beyond what is read of a head."""
    async with connected(refuse) as client:
        await client.send(b"GET / HTTP/1.1\r\nhost: x\r\nx-a: " + b"a" * MUCH)
        status, _ = await client.answer()
        assert status == 431


async def test_answers_reach_a_client_that_asks_too_much_at_once() -> None:
    """As many as were taken."""
    async with connected(refuse) as client:
        await client.send(request_of(b"") * (MUCH // 100))
        for _ in range(MAX_WAITING + 1):
            assert await client.answer() == (401, b"no")
        assert await client.reader.read() == b""


@pytest.mark.parametrize("size", [0, 10, 300_000])
async def test_connection_that_was_left_is_gone(size: int) -> None:
    """At once and not at the next collection."""
    app = Remembering(refuse)
    with no_collection():
        async with connected(app) as client:
            await client.send(last(request_of(bytes(size))))
            assert await client.answer() == (401, b"no")
            assert await asyncio.wait_for(client.reader.read(), SECONDS) == b""
        await asyncio.sleep(0.05)
        assert app.connections() == [None]
