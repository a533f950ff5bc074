"""Have one timer for the earliest of many deadlines."""

import asyncio
import math
from collections.abc import Callable, Iterable


class Alarm:
    """A timer that is set to the earliest deadline that it is told; used from one event loop."""

    def __init__(self, ring: Callable[[], None]) -> None:
        """Call `ring` at the deadline, on the loop."""
        self._ring = ring
        self._at = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def is_due(self, now: float) -> bool:
        """Say whether the deadline has come, whatever the loop was busy with since."""
        return now >= self._at

    def set(self, deadline: float, now: float) -> None:
        """Ring at this deadline as well."""
        if deadline >= self._at:
            return
        self.cancel()
        self._at = deadline
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(deadline - now, 0), self._ring)

    def set_anew(self, deadlines: Iterable[float], now: float) -> None:
        """Forget all deadlines but these."""
        self._at = math.inf
        earliest = min(deadlines, default=math.inf)
        if earliest < math.inf:
            self.set(earliest, now)

    def cancel(self) -> None:
        """Ring no more."""
        if self._timer is not None:
            self._timer.cancel()
