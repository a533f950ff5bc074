"""Write log lines from a thread, so that a slow or stuck reader of the log stops no request.

Lines of a moment share a write. What nobody takes in time is dropped and counted.
"""

import atexit
import os
import select
import threading
from collections import deque
from typing import Final

GATHER_SECONDS: Final = 0.02
MAX_LINES: Final = 10_000
PIPE_BYTES: Final = 4096
"""What a pipe takes in one piece (PIPE_BUF): several workers write to the same one."""

_CLOSE_SECONDS: Final = 2.0


class LogWriter:
    """Take lines from any thread and write them to a file descriptor, in order.

    Cost: an append for each line, and one wake-up of the thread for all lines of 20 milliseconds. A
    process that is killed loses the lines of that time; one that ends or fails writes them.
    """

    def __init__(self, descriptor: int, *, max_lines: int = MAX_LINES) -> None:
        """Write to `descriptor`; more than `max_lines` never wait."""
        self.dropped = 0
        """Lines that were not written since the start."""
        self._descriptor = descriptor
        self._max_lines = max_lines
        self._lines: deque[bytes] = deque()
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._is_closed = False
        self._thread = threading.Thread(target=self._serve, name="log", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def write(self, line: bytes) -> None:
        """Have one line written soon; it ends with a newline."""
        if len(self._lines) >= self._max_lines:
            self.dropped += 1
            return
        self._lines.append(line)
        if not self._wake.is_set():
            self._wake.set()

    def hurry(self) -> None:
        """Have what waits written at once."""
        self._hurry.set()

    def close(self) -> None:
        """Write what waits, unless nobody takes it; whatever comes later is dropped."""
        self._is_closed = True
        self._hurry.set()
        self._wake.set()
        self._thread.join(_CLOSE_SECONDS)
        self._max_lines = 0
        atexit.unregister(self.close)

    def _serve(self) -> None:
        while not (self._is_closed and not self._lines):
            self._wake.wait()
            self._hurry.wait(GATHER_SECONDS)
            self._hurry.clear()
            self._wake.clear()
            while self._lines:
                self._write_all(*self._take())
            if self._is_closed:
                self._wake.set()

    def _take(self) -> tuple[bytes, int]:
        """Take as many lines as a pipe keeps together, and at least one."""
        taken = [self._lines.popleft()]
        room = PIPE_BYTES - len(taken[0])
        while self._lines and len(self._lines[0]) <= room:
            taken.append(self._lines.popleft())
            room -= len(taken[-1])
        return b"".join(taken), len(taken)

    def _write_all(self, data: bytes, lines: int) -> None:
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [], 1.0)
            except OSError:
                self.dropped += lines
                return
