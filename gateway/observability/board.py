"""The counts of all workers in one piece of shared memory.

Each process writes a slot of its own with plain stores, and whoever is asked for the metrics reads
all of them. What was counted outlives a worker that is killed, and the worker that takes its slot
counts on: a counter never falls. Nothing of it is on disk.

A slot is a header (bytes used, process id) and entries that are only ever appended. An entry is
two 32-bit numbers (bytes of the name, cells), the name as JSON padded to eight bytes, and the
cells, which are doubles. Aligned doubles are stored whole, so a reader needs no lock.
"""

import fcntl
import json
import math
import mmap
import os
import struct
import tempfile
from collections.abc import Iterator
from typing import Final, NamedTuple, Self, TypeAlias

SLOTS: Final = 160
"""Twice the most workers, since a rolling restart has two of each, and room for the supervisor."""

SLOT_BYTES: Final = 1024 * 1024
"""Address space; memory is taken for what is written only."""

_WORD: Final = 8
_HEADER_BYTES: Final = 64
_USED, _PID = 0, 1
_ENTRY: Final = struct.Struct("=II")

Cells: TypeAlias = "memoryview[float]"

Key = tuple[str, ...]
"""The name of a metric and the values of its labels."""


class Entry(NamedTuple):
    """One series as one process counted it."""

    key: Key
    at: int
    """Place of its first cell."""

    values: list[float]


class BoardFull(Exception):
    """Every slot is taken by a living process, or a slot has no room for another series."""


class Slot:
    """The part of the board that one process writes."""

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._words = memory.cast("Q")
        self.cells: Cells = memory.cast("d")

    @property
    def is_used(self) -> bool:
        """Whether any process ever wrote here."""
        return self._words[_USED] > 0

    @property
    def is_alive(self) -> bool:
        """Whether the process that wrote last still runs."""
        pid = self._words[_PID]
        if not pid:
            return False
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    def take(self) -> None:
        """Make this process the one that writes."""
        if not self.is_used:
            self._words[_USED] = _HEADER_BYTES
        self._words[_PID] = os.getpid()

    def leave(self) -> None:
        """Say that nobody writes; the counts stay."""
        self._words[_PID] = 0

    def add(self, key: Key, cells: int) -> int:
        """Append an entry and return the place of its first cell.

        Raises:
            BoardFull: there is no room for it.
        """
        name = json.dumps(key).encode()
        name += b" " * (-len(name) % _WORD)
        start = self._words[_USED]
        first = start + _ENTRY.size + len(name)
        end = first + cells * _WORD
        if end > len(self._memory):
            raise BoardFull
        _ENTRY.pack_into(self._memory, start, len(name), cells)
        self._memory[start + _ENTRY.size : first] = name
        self._words[_USED] = end  # a reader never sees half an entry
        return first // _WORD

    def entries(self) -> Iterator[Entry]:
        """Read every series."""
        place, end = _HEADER_BYTES, self._words[_USED]
        while place < end:
            name_bytes, cells = _ENTRY.unpack_from(self._memory, place)
            name = bytes(self._memory[place + _ENTRY.size : place + _ENTRY.size + name_bytes])
            at = (place + _ENTRY.size + name_bytes) // _WORD
            yield Entry(tuple(json.loads(name)), at, list(self.cells[at : at + cells]))
            place = (at + cells) * _WORD

    def forget(self, at: int, cells: int) -> None:
        """Mark what a dead process last said of itself as not known."""
        for index in range(at, at + cells):
            self.cells[index] = math.nan


class Board:
    """Shared memory for the counts of every process of a server."""

    def __init__(self, descriptor: int) -> None:
        """Map a board that `create` made, here or in the parent process."""
        self._descriptor = descriptor
        self._memory = memoryview(mmap.mmap(descriptor, SLOTS * SLOT_BYTES))

    @classmethod
    def create(cls) -> Self:
        """Make an empty board that ends with the last process that has it."""
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("tollgate-metrics")
        else:
            with tempfile.TemporaryFile() as file:
                descriptor = os.dup(file.fileno())
        os.ftruncate(descriptor, SLOTS * SLOT_BYTES)
        return cls(descriptor)

    def fileno(self) -> int:
        """Name the descriptor that a child process inherits."""
        return self._descriptor

    def slot(self, number: int) -> Slot:
        """Return one slot."""
        return Slot(self._memory[number * SLOT_BYTES : (number + 1) * SLOT_BYTES])

    def claim(self) -> Slot:
        """Take the first slot that no living process has, until this process ends.

        Threat: two workers in one slot would lose each other's counts; the system's lock on its
        first byte ends with the process that holds it, however that ends.

        Raises:
            BoardFull: there is none.
        """
        for number in range(SLOTS):
            try:
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number * SLOT_BYTES)
            except OSError:
                continue
            slot = self.slot(number)
            slot.take()
            return slot
        raise BoardFull

    def slots(self) -> Iterator[Slot]:
        """Walk the slots that were ever written."""
        for number in range(SLOTS):
            slot = self.slot(number)
            if slot.is_used:
                yield slot
