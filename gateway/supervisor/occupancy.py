"""How many connections each worker has, in memory that the workers of a server share.

The kernel gives a connection to whichever worker asks first, so one worker can end up with all of
them: measured, 2 and 62 of 64 under load. Those who have more than others let the others ask first.
"""

import mmap
import os
import tempfile
from typing import Final, Self

_PLACES: Final = 512
_BYTES: Final = 8 * _PLACES
_ABSENT: Final = 2**64 - 1


class Occupancy:
    """One number for each worker; a worker writes its own and reads all.

    Cost: 8 bytes for each place; nothing is locked, since a number that is a little old only makes
    the spread a little worse.
    """

    def __init__(self, descriptor: int) -> None:
        """Map a file that `create` made, here or in the supervisor."""
        self.descriptor = descriptor
        self._counts = memoryview(mmap.mmap(descriptor, _BYTES)).cast("Q")
        self._claimed: set[int] = set()

    @classmethod
    def create(cls) -> Self:
        """Make the memory, with nobody in it."""
        with tempfile.TemporaryFile() as file:
            file.write(_ABSENT.to_bytes(8, "little") * _PLACES)
            file.flush()
            return cls(os.dup(file.fileno()))

    def claim(self) -> int:
        """Give out a place; for the supervisor."""
        place = min(set(range(_PLACES)) - self._claimed)
        self._claimed.add(place)
        return place

    def release(self, place: int) -> None:
        """Take back the place of a worker that is gone, however it went."""
        self._counts[place] = _ABSENT
        self._claimed.discard(place)

    def write(self, place: int, count: int) -> int:
        """Write how many connections a worker has, and return the fewest that any has."""
        self._counts[place] = count
        return min(self._counts)


class Place:
    """One worker's share of the connections."""

    def __init__(self, occupancy: Occupancy, place: int) -> None:
        self._occupancy = occupancy
        self._place = place

    def excess(self, count: int) -> int:
        """Say how many connections this worker has, and learn how many more that is."""
        return count - self._occupancy.write(self._place, count)

    def leave(self) -> None:
        """Say that this worker takes no more."""
        self._occupancy.write(self._place, _ABSENT)
