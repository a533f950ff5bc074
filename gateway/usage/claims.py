"""Say across the workers of one data folder who works on what, with locks that die with them.

One file of no content holds byte-range locks: a byte for each claim, and one for each journal that
somebody has open. All locks of a worker are on one open file description, so that the system drops
them at once: a worker whose claim is gone and whose journal still counts as open cannot be seen.

Source: fcntl_locking(2), "Open file description locks".
"""

import fcntl
import os
import struct
from pathlib import Path
from typing import Final
from zlib import crc32

_FILE: Final = "claims.lock"
_PRIVATE: Final = 0o600
_FLOCK: Final = struct.Struct("hhqqi4x")
"""`struct flock` of 64-bit Linux: type, whence, start, length, process."""

_MOST_DIGITS: Final = 9
_OPEN_BYTES: Final = 1 << 62
"""The locks of journals begin here; those of claims are below."""


class Claims:
    """Lock numbers below 2**62, and mark journals as open, for one worker.

    A number is locked once: whoever asks again in the same worker is told that it is free, so the
    worker keeps order among its own requests. No call blocks.
    """

    def __init__(self, folder: Path) -> None:
        """Open the file in the folder of the journals, where it is made if it is missing."""
        flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC
        self._descriptor = os.open(folder / _FILE, flags, _PRIVATE)
        self._marked: set[str] = set()

    def close(self) -> None:
        """Give everything free."""
        os.close(self._descriptor)

    def take(self, number: int) -> bool:
        """Lock a number; say whether no other worker has it."""
        return self._lock(fcntl.F_WRLCK, number)

    def give_back(self, number: int) -> None:
        """Let others have a number."""
        self._lock(fcntl.F_UNLCK, number)

    def mark_open(self, journal: Path) -> None:
        """Tell that this worker has a journal open, and that what a dead one left is settled."""
        self._marked.add(journal.name)
        self._lock(fcntl.F_WRLCK, _OPEN_BYTES + _slot(journal))

    def mark_closed(self, journal: Path) -> None:
        """Tell that this worker is about to close a journal."""
        self._marked.discard(journal.name)
        self._lock(fcntl.F_UNLCK, _OPEN_BYTES + _slot(journal))

    def is_open(self, journal: Path) -> bool:
        """Say whether a worker that lives has a journal open."""
        if journal.name in self._marked:
            return True
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _OPEN_BYTES + _slot(journal), 1, 0)
        found = fcntl.fcntl(self._descriptor, fcntl.F_OFD_GETLK, asked)
        return bool(_FLOCK.unpack(found)[0] != fcntl.F_UNLCK)

    def _lock(self, kind: int, number: int) -> bool:
        wanted = _FLOCK.pack(kind, os.SEEK_SET, number, 1, 0)
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, wanted)
        except (BlockingIOError, PermissionError):
            return False
        return True


def _slot(journal: Path) -> int:
    """Return the number in the name of a journal, `worker-<slot>.db`; for a copy, one of its name.

    Threat: a file that somebody put beside the journals would otherwise stop all of them.
    """
    text = journal.stem.rpartition("-")[2]
    is_slot = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    return int(text) if is_slot else (1 << 40) + crc32(journal.name.encode())
