"""Bodies over a real socket: each is whole, whatever its size and however it comes."""

import asyncio
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import uvloop

from gateway.dataplane.connection import CONNECTION
from gateway.dataplane.paths import INFER, PREDICT
from gateway.dataplane.request_body import BodyReader
from gateway.errors import ClientDisconnected
from gateway.intake import Intake
from tests.processes import resident_bytes
from tests.unit.gateway.connections.client import (
    SECONDS,
    Remembering,
    answer_with,
    connected,
    no_collection,
    request_of,
)

SIZES = (0, 1, 100, 65_000, 65_536, 65_537, 131_072, 200_000, 1_000_000)
MAX_BYTES = 64 * 2**20
ROUNDS = 400


async def echo(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
    """Answer with the body, as a prediction reads it."""
    operation = INFER if scope["path"] == "/infer" else PREDICT
    body = bytes(await BodyReader(MAX_BYTES).read(scope, receive, operation))
    await answer_with(send, body)


def chunked_request_of(pieces: Iterable[bytes]) -> bytes:
    """Write a request whose length nobody announces."""
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    head = b"POST /infer HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + chunks + b"0\r\n\r\n"


def split(content: bytes, rng: np.random.Generator, count: int) -> list[bytes]:
    """Cut bytes at random places."""
    cuts = sorted(rng.integers(0, len(content) + 1, size=count).tolist())
    return [content[start:end] for start, end in pairwise([0, *cuts, len(content)])]


@pytest.mark.parametrize("path", ["/infer", "/predict"])
@pytest.mark.parametrize("size", SIZES)
async def test_body_of_any_size_is_whole(size: int, path: str) -> None:
    """One after the other on a connection, in one piece and in several."""
    rng = np.random.default_rng(size)
    async with connected(echo) as client:
        for count in (0, 1, 5, 30):
            body = rng.bytes(size)
            await client.send(*split(request_of(body, path), rng, count))
            assert await client.answer() == (200, body)


async def test_requests_sent_without_waiting_are_told_apart() -> None:
    """The bytes behind a large body are the next request, small or large."""
    rng = np.random.default_rng(1)
    bodies = [rng.bytes(size) for size in (*SIZES, *reversed(SIZES))]
    stream = b"".join(map(request_of, bodies))
    async with connected(echo) as client:
        sending = asyncio.create_task(client.send(*split(stream, rng, 40)))
        for body in bodies:
            assert await client.answer() == (200, body)
        await sending


async def test_body_in_chunks_is_whole() -> None:
    """Its end is for the parser to find, and so is what comes behind it."""
    rng = np.random.default_rng(2)
    body = rng.bytes(700_000)
    stream = chunked_request_of(split(body, rng, 20)) + request_of(body)
    async with connected(echo) as client:
        await client.send(*split(stream, rng, 25))
        assert await client.answer() == (200, body)
        assert await client.answer() == (200, body)


async def test_client_may_wait_for_leave_to_send() -> None:
    """RFC 9110 section 10.1.1."""
    body = bytes(300_000)
    head = request_of(body)[: -len(body)].replace(b"\r\n\r\n", b"\r\nexpect: 100-continue\r\n\r\n")
    async with connected(echo) as client:
        await client.send(head)
        leave = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), SECONDS)
        assert leave.startswith(b"HTTP/1.1 100 ")
        await client.send(body)
        assert await client.answer() == (200, body)


@pytest.mark.parametrize("arrived", [0, 1, 100_000, 299_999])
async def test_client_that_leaves_within_a_body_is_noticed(arrived: int) -> None:
    """At whatever point."""
    noticed = asyncio.Event()

    async def app(scope: Any, receive: Any, _send: object) -> None:  # noqa: ANN401 - ASGI
        with pytest.raises(ClientDisconnected):
            await BodyReader(MAX_BYTES).read(scope, receive, INFER)
        noticed.set()

    request = request_of(bytes(300_000))
    async with connected(app) as client:
        await client.send(request[: len(request) - 300_000 + arrived])
        await asyncio.sleep(0.05)
        client.writer.close()
        await asyncio.wait_for(noticed.wait(), SECONDS)


@pytest.mark.parametrize("arrived", [0, 1, 70_000, 150_000, 299_999])
async def test_request_that_gives_up_on_its_body_leaves_the_next_one_alone(arrived: int) -> None:
    """Its deadline passes; the rest comes later, is read past, and is no request."""

    async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
        try:
            async with asyncio.timeout(0.1 if scope["path"] == "/infer" else SECONDS):
                body = bytes(await BodyReader(MAX_BYTES).read(scope, receive, INFER))
        except TimeoutError:
            body = b"late"
        await answer_with(send, body)

    trap = request_of(b"a trap") * 6000
    body, following = trap[:300_000], bytes(range(256)) * 1000
    request = request_of(body)
    begun = len(request) - len(body) + arrived
    async with connected(app) as client:
        await client.send(request[:begun])
        assert await client.answer() == (200, b"late")
        await client.send(request[begun:], request_of(following, "/predict"))
        assert await client.answer() == (200, following)


async def test_parser_sees_nothing_of_a_body_that_is_given_up() -> None:
    """To hand over 64 MB would stop the loop."""

    class Listener:
        def __init__(self) -> None:
            self.heard: list[str] = []

        def data_received(self, data: memoryview) -> None:
            self.heard.append(bytes(data).decode())

        def body_received(self) -> None:
            self.heard.append("body")

    listener = Listener()
    intake = Intake(listener)  # type: ignore[arg-type] # nothing else is called
    filling = asyncio.create_task(intake.fill(memoryview(bytearray(10))))
    await asyncio.sleep(0)
    intake.buffer_updated(3)
    filling.cancel()
    await asyncio.wait([filling])
    intake.read_past()
    assert len(intake.get_buffer(-1)) == 7
    intake.buffer_updated(7)
    place = intake.get_buffer(-1)
    place[:4] = b"next"
    intake.buffer_updated(4)
    assert listener.heard == ["body", "next"]


@pytest.mark.parametrize("behind", [request_of(b"", "/trap"), b"\0\1\2\r\n\r\n"])
async def test_nothing_is_read_behind_the_body_of_the_last_request(behind: bytes) -> None:
    """Whoever says that the connection ends is answered, and asks nothing more."""
    asked, gate = [], asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
        asked.append(scope["path"])
        body = await BodyReader(MAX_BYTES).read(scope, receive, INFER)
        await gate.wait()
        await answer_with(send, bytes(body))

    body = bytes(300_000)
    request = request_of(body).replace(b"host: x", b"host: x\r\nconnection: close")
    async with connected(app) as client:
        await client.send(request, behind)
        await asyncio.sleep(0.05)
        gate.set()
        assert await client.answer() == (200, body)
        assert await client.reader.read() == b""
        assert asked == ["/infer"]


async def test_body_that_nobody_reads_is_read_past() -> None:
    """An app may refuse by the head alone."""

    async def refuse(_scope: object, _receive: object, send: Any) -> None:  # noqa: ANN401 - ASGI
        await answer_with(send, b"", status=401)

    async with connected(refuse) as client:
        for size in (10, 70_000, 2_000_000, 10):
            await client.send(request_of(bytes(size)))
            assert await client.answer() == (401, b"")


async def test_body_read_as_messages_by_another_app_is_whole() -> None:
    """FastAPI knows nothing of the connection; nor does a request that is not the latest one."""

    async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
        del scope[CONNECTION]
        await echo(scope, receive, send)

    rng = np.random.default_rng(3)
    async with connected(app) as client:
        for size in SIZES:
            body = rng.bytes(size)
            await client.send(*split(request_of(body), rng, 3))
            assert await client.answer() == (200, body)


async def test_announcement_takes_up_no_memory() -> None:
    """Twenty clients announce 64 MB each and send one byte."""
    head = request_of(b"")[:-4].replace(b"length: 0", b"length: %d" % MAX_BYTES) + b"\r\n\r\nx"
    before = resident_bytes(os.getpid())
    async with connected(echo) as client:
        port = client.writer.get_extra_info("peername")[1]
        others = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        for _, writer in others:
            writer.write(head)
        await asyncio.sleep(0.2)
        assert resident_bytes(os.getpid()) - before < MAX_BYTES
        for _, writer in others:
            writer.close()
            await writer.wait_closed()


async def test_chunk_whose_size_comes_alone_is_waited_for() -> None:
    """Nothing has come for the app then, which must not stop the reading."""
    stream = chunked_request_of([b"hello", b"world"])
    ends = [at + 1 for at, byte in enumerate(stream) if byte == ord("\n")]
    async with connected(echo) as client:
        for start, end in pairwise([0, *ends]):
            await client.send(stream[start:end])
            await asyncio.sleep(0.01)
        assert await client.answer() == (200, b"helloworld")


async def test_body_that_went_on_as_messages_ends_as_messages() -> None:
    """What has come since the last message has its place before what is still to come."""
    sent, laid = bytes(range(200)) * 1000, []

    async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
        message = await receive()
        await asyncio.sleep(0.1)
        body = message["body"]
        place = memoryview(bytearray(len(sent) - len(body)))
        laid.append(await scope[CONNECTION].receive_into(scope, place))
        while message["more_body"]:
            message = await receive()
            body += message["body"]
        await answer_with(send, body)

    request = request_of(sent)
    async with connected(app) as client:
        await client.send(request[:-150_000])
        await asyncio.sleep(0.05)
        await client.send(request[-150_000:])
        assert await client.answer() == (200, sent)
        assert laid == [False]


async def test_connection_is_gone_when_it_is_over() -> None:
    """At once and not at the next collection, whose turn comes after many bodies."""
    app = Remembering(echo)
    with no_collection():
        async with connected(app) as client:
            await client.send(request_of(bytes(200_000)))
            assert (await client.answer())[0] == 200
        await asyncio.sleep(0.05)
        assert app.connections() == [None]


def test_servers_in_two_threads_share_no_memory() -> None:
    """A loop reads while another one parses; many small requests, each with bytes of its own."""

    def serve_and_ask(mark: int) -> int:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(count_right_answers(mark))

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(serve_and_ask, (1, 2))) == [ROUNDS, ROUNDS]


async def count_right_answers(mark: int) -> int:
    """Ask an app of this thread's own."""
    async with connected(echo) as client:
        right = 0
        for number in range(ROUNDS):
            body = bytes([mark]) * (number % 60_000 + 1000)
            await client.send(request_of(body))
            right += await client.answer() == (200, body)
        return right
