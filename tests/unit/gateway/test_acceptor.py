"""Connections are shared by those who accept them, and wait for nobody who hangs."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from gateway.acceptor import Acceptor, Share, Undivided
from gateway.http_server import DrainableState
from gateway.supervisor.occupancy import Occupancy, Place

CALLERS = 20


class Greeter(asyncio.Protocol):
    """Say who accepted, and stay."""

    def __init__(self, name: bytes, state: DrainableState) -> None:
        self._name = name
        self._state = state

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection and write the name."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._state.connections.add(self)  # type: ignore[arg-type]
        transport.write(self._name)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Listen on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def acceptor(listener: socket.socket, name: bytes, share: Share) -> Acceptor:
    """Return an acceptor on a descriptor of its own, as another process has it."""
    state = DrainableState()
    return Acceptor(
        listener.dup(), create_protocol=lambda: Greeter(name, state), state=state, share=share
    )


async def greeting(listener: socket.socket) -> bytes:
    """Connect, and return who accepted."""
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    name = await reader.readexactly(1)
    writer.close()
    return name


async def test_connections_are_shared_evenly(listener: socket.socket) -> None:
    """Whoever has more lets the other go first."""
    occupancy = Occupancy.create()
    both = [acceptor(listener, name, Place(occupancy, occupancy.claim())) for name in (b"a", b"b")]
    for each in both:
        each.start()
    names = [await greeting(listener) for _ in range(CALLERS)]
    for each in both:
        await each.stop()
    assert sorted(names) == [b"a"] * (CALLERS // 2) + [b"b"] * (CALLERS // 2)


async def test_nobody_waits_for_one_that_hangs(listener: socket.socket) -> None:
    """A worker that has fewer and does not accept holds no caller up for long."""
    occupancy = Occupancy.create()
    Place(occupancy, occupancy.claim()).excess(0)
    working = acceptor(listener, b"a", Place(occupancy, occupancy.claim()))
    working.start()
    assert [await greeting(listener) for _ in range(CALLERS)] == [b"a"] * CALLERS
    await working.stop()


async def test_end_of_one_leaves_the_socket_to_the_others(listener: socket.socket) -> None:
    """Who waits in the backlog is accepted by whoever is left."""
    ended, working = (acceptor(listener, name, Undivided()) for name in (b"a", b"b"))
    ended.start()
    await ended.stop()
    waiting = asyncio.create_task(greeting(listener))
    working.start()
    assert await waiting == b"b"
    await working.stop()
