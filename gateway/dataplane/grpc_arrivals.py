"""Let calls that come about the same time go on together.

What many callers share (a run, an fsync, a signature) is shared by those who come to it in the same
turn of the event loop, or while it is busy. grpc.aio takes calls one at a time, over several turns
each, so that of 64 callers nearly every one had a run, an fsync and a signature of his own.
"""

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Final

_QUIET_TURNS: Final = 16
_MOST_CALLS: Final = 64
_MOST_BYTES: Final = 1_500_000
_MOST_SECONDS: Final = 0.01


class Arrivals:
    """Hold calls whose message is there until no other one has come for some turns of the loop.

    Concurrency: one event loop. A call that is alone waits for nothing; where the loop is idle,
    sixteen of its turns are a fraction of a millisecond.
    """

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self._under_way = 0
        self._waiting: list[asyncio.Future[None]] = []
        self._bytes = 0
        self._quiet_turns = 0
        self._until = 0.0

    def begin(self) -> None:
        """Count a call; `end` must follow."""
        self._under_way += 1

    def end(self) -> None:
        """Count one less."""
        self._under_way -= 1

    async def gather(self, size: int) -> None:
        """Wait for those who come about now, with a message of `size` bytes."""
        if self._under_way == 1:
            return
        loop = asyncio.get_running_loop()
        if not self._waiting:
            self._bytes = 0
            self._until = self._clock() + _MOST_SECONDS
            loop.call_soon(self._turn, loop)
        self._quiet_turns = 0
        self._bytes += size
        turn = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._quiet_turns += 1
        if self._is_over():
            waiting, self._waiting = self._waiting, []
            for turn in waiting:
                if not turn.done():
                    turn.set_result(None)
        else:
            loop.call_soon(self._turn, loop)

    def _is_over(self) -> bool:
        return (
            self._quiet_turns > _QUIET_TURNS
            or len(self._waiting) >= _MOST_CALLS
            or self._bytes >= _MOST_BYTES
            or self._clock() >= self._until
        )
