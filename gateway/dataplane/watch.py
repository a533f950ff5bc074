"""Stop a prediction whose client has left or whose deadline has passed.

A request that is answered quickly pays for one timer. Only one that is still waiting after a while
gets a task that listens to its connection: a task per request would cost more than the limits do.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from gateway.errors import BodyTooSlow, ClientDisconnected
from inference.errors import DeadlineExceeded

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Reason = BodyTooSlow | ClientDisconnected | DeadlineExceeded

PATIENCE_SECONDS = 0.05
LOST = "tollgate.lost"
"""Stands in the scope of a request whose connection is gone."""


class Watch:
    """Cancel the task that made it when its client leaves or the deadline passes, until closed.

    While the body is being read only the deadline counts, because the reader itself sees a client
    that leaves. `reason` is the error to answer with; it is None when somebody else cancelled the
    task. `deadline` is a time of the running loop's clock, in seconds.
    """

    def __init__(self, receive: Receive, *, deadline: float) -> None:
        self.reason: Reason | None = None
        self._receive = receive
        self.deadline = deadline
        self._loop = asyncio.get_running_loop()
        self._handler = asyncio.current_task()
        self._listener: asyncio.Task[None] | None = None
        self._is_reading = True
        self._is_overdue = False
        start_at = min(self._loop.time() + PATIENCE_SECONDS, deadline)
        self._timer = self._loop.call_at(start_at, self._start)

    def body_read(self) -> None:
        """Say that the body is complete: the next message means that the client left."""
        self._is_reading = False
        if self._is_overdue:
            self._listener = self._loop.create_task(self._listen())

    def close(self) -> None:
        """Stop watching; from here on nothing interrupts the handler."""
        self._timer.cancel()
        if self._listener is not None:
            self._listener.cancel()
            self._listener = None

    def _start(self) -> None:
        self._is_overdue = True
        self._timer = self._loop.call_at(self.deadline, self._expire)
        if not self._is_reading:
            self._listener = self._loop.create_task(self._listen())

    def _expire(self) -> None:
        self._stop(BodyTooSlow() if self._is_reading else DeadlineExceeded())

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._stop(ClientDisconnected())

    def _stop(self, reason: Reason) -> None:
        if self.reason is None and self._handler is not None:
            self.reason = reason
            self._handler.cancel()
