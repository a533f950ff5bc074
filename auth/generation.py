"""A counter in shared memory that says: the catalogue in SQL has changed.

Every process of the machine that uses the data directory maps the same eight bytes. A writer
counts up after its commit; a server compares the counter with what it loaded, on every request,
for the price of a memory read. So a revocation by the command line stops a running server's
next request without any message between them.
"""

import fcntl
import mmap
import os
import threading
from pathlib import Path
from typing import Final

_SIZE_BYTES: Final = 8


class Generation:
    """Read and count up the shared change counter in the file `path`.

    Invariant: the counter never goes down while a process has it mapped, so equality with the
    value read before a load means that the load saw every change answered so far.
    """

    def __init__(self, path: Path) -> None:
        """Map the counter, making the file (mode 0600) if it is not there."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._lock = threading.Lock()
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            if os.fstat(self._file).st_size < _SIZE_BYTES:
                os.ftruncate(self._file, _SIZE_BYTES)
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self._map = mmap.mmap(self._file, _SIZE_BYTES)
        self._counter = memoryview(self._map).cast("Q")

    @property
    def value(self) -> int:
        """The count of changes so far; a plain memory read."""
        return self._counter[0]

    def bump(self) -> None:
        """Count one change; call it after the commit, before the answer.

        The file lock keeps processes apart, the thread lock the threads of this one (which share
        the file description that the file lock belongs to).
        """
        with self._lock:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                self._counter[0] += 1
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Unmap the counter and close the file."""
        self._counter.release()
        self._map.close()
        os.close(self._file)
