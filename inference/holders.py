"""Count who works with a model version, so that it is freed no sooner than the last has left."""

import asyncio


class Holders:
    """The requests that were promised one model version; used from one event loop."""

    def __init__(self) -> None:
        self.count = 0
        self._waiting: list[asyncio.Future[None]] = []

    def add(self) -> None:
        """Let one more hold it; `remove` must follow."""
        self.count += 1

    def remove(self) -> None:
        """Let one go."""
        self.count -= 1
        if not self.count and self._waiting:
            waiting, self._waiting = self._waiting, []
            for waiter in waiting:
                if not waiter.done():
                    waiter.set_result(None)

    async def gone(self) -> None:
        """Wait until nobody holds it."""
        while self.count:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter
