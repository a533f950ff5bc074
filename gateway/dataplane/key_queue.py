"""Let one request at a time work on a key, among all workers of a data folder."""

import asyncio
from collections import deque
from typing import Final

from gateway.usage.claims import Claims

_NUMBER_BYTES: Final = 8
_NUMBER_BITS: Final = 62
_POLL_SECONDS: Final = 0.002
_MOST_POLL_SECONDS: Final = 0.032


class KeyQueue:
    """Claims on keys: in turn within this worker, by locks of the system among workers.

    Two keys whose digests begin alike share a claim, and wait for each other for nothing.
    """

    def __init__(self, claims: Claims) -> None:
        self._claims = claims
        self._waiting: dict[int, deque[asyncio.Future[None]]] = {}

    def take(self, key: bytes) -> bool:
        """Claim a key that nobody works on; say whether it was free."""
        number = _number(key)
        if number in self._waiting or not self._claims.take(number):
            return False
        self._waiting[number] = deque()
        return True

    async def wait(self, key: bytes) -> None:
        """Claim a key as soon as it is free.

        In this worker it is handed over; no event tells when another one lets go.
        """
        number = _number(key)
        pause_seconds = _POLL_SECONDS
        while not self.take(key):
            queue = self._waiting.get(number)
            if queue is not None:
                await self._stand_in(queue, number)
                return
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _MOST_POLL_SECONDS)

    def give_back(self, key: bytes) -> None:
        """Hand a claim to the next who waits in this worker, or let other workers have it."""
        self._pass_on(_number(key))

    def _pass_on(self, number: int) -> None:
        queue = self._waiting[number]
        while queue:
            turn = queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._waiting[number]
        self._claims.give_back(number)

    async def _stand_in(self, queue: "deque[asyncio.Future[None]]", number: int) -> None:
        """Wait for the claim to be handed over; pass it on if nobody waits here any more."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pass_on(number)
            raise


def _number(key: bytes) -> int:
    return int.from_bytes(key[:_NUMBER_BYTES], "big") & ((1 << _NUMBER_BITS) - 1)
