"""A slow prediction ends with its client or its deadline; a quick one is left alone."""

import asyncio

import pytest

from gateway.dataplane.watch import Deadlines, Watch
from gateway.errors import BodyTooSlow, ClientDisconnected
from inference.errors import DeadlineExceeded

LONG_SECONDS = 60.0


def watch_for(seconds: float, deadlines: Deadlines | None = None) -> Watch:
    """Watch the task that calls this."""
    now = asyncio.get_running_loop().time()
    return Watch(deadlines or Deadlines(), now=now, deadline=now + seconds)


async def waiting_for_ever(watch: Watch) -> None:
    """Stand for a model run that does not end."""
    try:
        await asyncio.Event().wait()
    finally:
        watch.close()


async def reason_of_the_end(
    seconds: float,
    deadlines: Deadlines | None = None,
    *,
    is_read: bool = True,
    leaves: bool = False,
) -> object:
    """Run a handler that never answers, and say why it was cancelled."""
    watches: list[Watch] = []

    async def handle() -> None:
        watch = watch_for(seconds, deadlines)
        watches.append(watch)
        if is_read:
            watch.body_read()
        await waiting_for_ever(watch)

    task = asyncio.create_task(handle())
    if leaves:
        await asyncio.sleep(0)
        watches[0].client_left()
    with pytest.raises(asyncio.CancelledError):
        await task
    return watches[0].reason


async def test_client_that_leaves_cancels_the_prediction() -> None:
    """The handler is cancelled and finds the reason."""
    assert await reason_of_the_end(LONG_SECONDS, leaves=True) is ClientDisconnected


async def test_deadline_cancels_the_prediction() -> None:
    """A deadline in the past is noticed at once."""
    assert await reason_of_the_end(0.0) is DeadlineExceeded


async def test_deadline_while_the_body_is_read_says_so() -> None:
    """A body that does not arrive is the client's fault, not the model's."""
    assert await reason_of_the_end(0.0, is_read=False) is BodyTooSlow


async def test_client_that_leaves_with_its_body_is_left_to_the_reader() -> None:
    """The reader sees the end of the body by itself, and says what that means."""
    watch = watch_for(LONG_SECONDS)
    watch.client_left()
    assert watch.reason is None
    watch.close()


async def test_every_deadline_rings_for_its_own_request() -> None:
    """The later of two waits on, and rings after the earlier one has rung."""
    deadlines = Deadlines()
    patient = asyncio.create_task(reason_of_the_end(0.05, deadlines))
    hasty = asyncio.create_task(reason_of_the_end(0.01, deadlines))
    assert await hasty is DeadlineExceeded
    assert not patient.done()
    assert await patient is DeadlineExceeded


@pytest.mark.parametrize("leaves", [False, True], ids=["deadline", "client leaves"])
async def test_closed_watch_interrupts_nothing(*, leaves: bool) -> None:
    """Once the answer is being recorded, neither client nor deadline stops it."""

    async def handle() -> str:
        watch = watch_for(0.0)
        watch.body_read()
        watch.close()
        if leaves:
            watch.client_left()
        for _ in range(3):
            await asyncio.sleep(0)
        assert watch.reason is None
        return "recorded"

    assert await asyncio.create_task(handle()) == "recorded"
