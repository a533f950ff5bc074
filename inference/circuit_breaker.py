"""Stop asking an engine that does not answer, and try again after a while."""

from collections.abc import Callable
from typing import Final

_FAILURES: Final = 5
_FIRST_PAUSE_SECONDS: Final = 1.0
_MAX_PAUSE_SECONDS: Final = 30.0


class CircuitBreaker:
    """Count failures in a row; past a few of them, let nobody through for a while.

    After the pause one caller is let through. If that fails, the next pause is twice as long, up to
    half a minute. `now` gives monotonic seconds. Concurrency: one caller at a time.

    Threat: callers who wait for an engine that hangs would fill the queue, and keep an engine that
    comes back from getting up.
    """

    def __init__(self, *, now: Callable[[], float]) -> None:
        self._now = now
        self._failures = 0
        self._opens_at = 0.0

    def seconds_closed(self) -> float:
        """Say how long nobody is let through from now on; 0 where somebody is."""
        return max(0.0, self._opens_at - self._now())

    def succeeded(self) -> None:
        """Take note of an answer."""
        self._failures = 0

    def failed(self) -> None:
        """Take note of a failure."""
        self._failures += 1
        if self._failures >= _FAILURES:
            doublings = min(self._failures - _FAILURES, 10)
            pause = min(_FIRST_PAUSE_SECONDS * 2.0**doublings, _MAX_PAUSE_SECONDS)
            self._opens_at = self._now() + pause
