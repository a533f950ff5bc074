"""Remember who asked for how much lately, so that a flood is told from a busy hour.

Where fifty tenants ask alike and more waits than a run holds, some have two requests in the queue
and some one, by chance: none of them floods. What counts is how much each asked for over some
seconds, against whoever asked for least.
"""

from enum import Enum
from typing import Final

_WINDOW_SECONDS: Final = 10.0
"""Short enough to notice a flood that grows, long enough that lanes which ask alike look alike."""

_MORE: Final = 3
"""A lane asks for more where it asks for so many times the rows of another one, by weight."""


class Asking(Enum):
    """How a lane asks, compared with the others."""

    ALONE = "alone"
    """Nobody else was seen lately."""

    ALIKE = "alike"
    """Nobody asks for much less."""

    MORE = "more"
    """Somebody asks for much less."""

    UNKNOWN = "unknown"
    """The others were not seen for long enough."""


class Demand:
    """Rows that each lane asked for, in the last whole window and in the one that goes on.

    Memory: the lanes of two windows. Concurrency: none of its own; used under the batcher's lock.
    """

    def __init__(self) -> None:
        """Begin with nobody known."""
        self._ends_at = 0.0
        self._before: dict[str, float] = {}
        self._now: dict[str, float] = {}
        self._least = 0.0
        """What the lane asked for that asked for least in the last whole window."""

    def note(self, lane: str, rows: int, *, weight: int, now: float) -> None:
        """Count rows of a lane that asks now."""
        if now >= self._ends_at:
            is_recent = now < self._ends_at + _WINDOW_SECONDS
            self._before, self._now = self._now if is_recent else {}, {}
            self._least = min(self._before.values(), default=0.0)
            self._ends_at = now + _WINDOW_SECONDS
        self._now[lane] = self._now.get(lane, 0.0) + rows / weight

    def of(self, lane: str) -> Asking:
        """Compare a lane with whoever asks for least."""
        has_one = len(self._before) <= 1 and len(self._now) == 1
        if has_one and self._before.keys() <= self._now.keys():
            return Asking.ALONE
        if len(self._before) <= 1:
            return Asking.UNKNOWN
        own = max(self._before.get(lane, 0.0), self._now.get(lane, 0.0))
        return Asking.MORE if own > _MORE * self._least else Asking.ALIKE
