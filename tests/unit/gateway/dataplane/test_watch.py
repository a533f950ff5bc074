"""A slow prediction ends with its client or its deadline; a quick one is left alone."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from gateway.dataplane.watch import Watch
from gateway.errors import BodyTooSlow, ClientDisconnected
from inference.errors import DeadlineExceeded


class Connection:
    """A client's end: silent until it disconnects."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.receives = 0

    async def receive(self) -> MutableMapping[str, Any]:
        """Wait for the client to leave."""
        self.receives += 1
        await self.left.wait()
        return {"type": "http.disconnect"}


async def waiting_for_ever(watch: Watch) -> None:
    """Stand for a model run that does not end."""
    try:
        await asyncio.Event().wait()
    finally:
        watch.close()


def now() -> float:
    """Read the loop's clock."""
    return asyncio.get_running_loop().time()


async def test_client_that_leaves_cancels_the_prediction() -> None:
    """The handler is cancelled and finds the reason."""
    connection = Connection()
    connection.left.set()
    watches: list[Watch] = []

    async def handle() -> None:
        watch = Watch(connection.receive, deadline=now() + 60)
        watches.append(watch)
        watch.body_read()
        await waiting_for_ever(watch)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(handle())
    assert isinstance(watches[0].reason, ClientDisconnected)


async def test_deadline_cancels_the_prediction() -> None:
    """A deadline in the past is noticed at once."""
    connection = Connection()
    watches: list[Watch] = []

    async def handle() -> None:
        watch = Watch(connection.receive, deadline=now())
        watches.append(watch)
        watch.body_read()
        await waiting_for_ever(watch)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(handle())
    assert isinstance(watches[0].reason, DeadlineExceeded)


async def test_deadline_while_the_body_is_read_says_so() -> None:
    """A body that does not arrive is the client's fault, not the model's."""
    connection = Connection()
    watches: list[Watch] = []

    async def handle() -> None:
        watch = Watch(connection.receive, deadline=now())
        watches.append(watch)
        await waiting_for_ever(watch)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(handle())
    assert isinstance(watches[0].reason, BodyTooSlow)
    assert connection.receives == 0


async def test_quick_request_never_listens() -> None:
    """A request that is answered quickly pays for a timer and nothing else."""
    connection = Connection()
    watch = Watch(connection.receive, deadline=now() + 60)
    watch.body_read()
    watch.close()
    await asyncio.sleep(0)
    assert connection.receives == 0
    assert watch.reason is None


async def test_closed_watch_interrupts_nothing() -> None:
    """Once the answer is being recorded, neither client nor deadline stops it."""
    connection = Connection()
    connection.left.set()

    async def handle() -> str:
        watch = Watch(connection.receive, deadline=now())
        watch.body_read()
        watch.close()
        for _ in range(3):
            await asyncio.sleep(0)
        return "recorded"

    assert await asyncio.create_task(handle()) == "recorded"
