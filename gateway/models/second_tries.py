"""Say when a version is tried again that an engine which was away could not give."""

from typing import Final, TypeAlias

Key: TypeAlias = tuple[str, str]
"""A model and a version."""

_MOST_BEATS: Final = 12


class SecondTries:
    """Count heartbeats until the next try: 1, 2, 4 ... up to 12, which is a minute.

    A try waits for an engine that does not answer, and whatever else is to be loaded waits behind.
    """

    def __init__(self) -> None:
        self._left: dict[Key, int] = {}
        self._pauses: dict[Key, int] = {}

    def put_off(self, key: Key) -> None:
        """Wait for a version that failed, twice as long as before."""
        pause = min(2 * self._pauses.get(key, 0) or 1, _MOST_BEATS)
        self._left[key] = self._pauses[key] = pause

    def forget(self, key: Key) -> None:
        """Wait no more for a version: it is there, or will not come by itself."""
        self._left.pop(key, None)
        self._pauses.pop(key, None)

    def beat(self) -> list[Key]:
        """Count a heartbeat; return what is to be tried now."""
        self._left = {key: left - 1 for key, left in self._left.items() if left > 0}
        return [key for key, left in self._left.items() if left == 0]
