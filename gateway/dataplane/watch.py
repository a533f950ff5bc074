"""Stop a prediction whose client has left or whose deadline has passed.

A request pays for an entry in a dictionary: the deadlines of all share a timer, and it is the
connection that tells when its client leaves.
"""

import asyncio

from gateway.errors import BodyTooSlow, ClientDisconnected
from inference.alarm import Alarm
from inference.errors import DeadlineExceeded

Reason = type[BodyTooSlow] | type[ClientDisconnected] | type[DeadlineExceeded]


class Deadlines:
    """Ring for every watch at its deadline, with one timer; used from one event loop."""

    def __init__(self) -> None:
        self._watches: dict[Watch, None] = {}
        self._alarm = Alarm(self._ring)

    def add(self, watch: "Watch", now: float) -> None:
        """Ring for a watch until it is removed; `now` is a time of the loop's clock."""
        self._watches[watch] = None
        self._alarm.set(watch.deadline, now)

    def remove(self, watch: "Watch") -> None:
        """Do not ring for it any more."""
        self._watches.pop(watch, None)

    def _ring(self) -> None:
        now = asyncio.get_running_loop().time()
        for watch in [one for one in self._watches if one.deadline <= now]:
            self.remove(watch)
            watch.expire()
        self._alarm.set_anew([watch.deadline for watch in self._watches], now)


class Watch:
    """Cancel the task that made it when its client leaves or the deadline passes, until closed.

    While the body is being read only the deadline counts, because the reader itself sees a client
    that leaves. `reason` is the kind of the error to answer with; it is None when somebody else
    cancelled the task. `deadline` is a time of the running loop's clock, in seconds.
    """

    __slots__ = ("_deadlines", "_handler", "_is_reading", "deadline", "reason")

    def __init__(self, deadlines: Deadlines, *, now: float, deadline: float) -> None:
        self.reason: Reason | None = None
        self.deadline = deadline
        self._deadlines = deadlines
        self._handler = asyncio.current_task()
        self._is_reading = True
        deadlines.add(self, now)

    def body_read(self) -> None:
        """Say that the body is complete: nobody else sees the client leave from here on."""
        self._is_reading = False

    def close(self) -> None:
        """Stop watching; from here on nothing interrupts the handler."""
        self._handler = None
        self._deadlines.remove(self)

    def client_left(self) -> None:
        """Hear that the connection is gone."""
        if not self._is_reading:
            self._stop(ClientDisconnected)

    def expire(self) -> None:
        """Hear that the deadline has passed."""
        self._stop(BodyTooSlow if self._is_reading else DeadlineExceeded)

    def _stop(self, reason: Reason) -> None:
        if self.reason is None and self._handler is not None:
            self.reason = reason
            self._handler.cancel()
