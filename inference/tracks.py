"""Name the two tracks on which runs of one model go on beside each other, and open the second.

Source: docs/decisions/0014-two-tracks.md.
"""

import contextlib
import os
import threading
from concurrent.futures import Executor, ThreadPoolExecutor
from enum import IntEnum
from typing import Final, NamedTuple

_NICENESS: Final = 10


class Track(IntEnum):
    """Where a lane's rows run."""

    FRONT = 0
    """For every lane while none floods, and beside a flood for the lanes below their share."""

    BACK = 1
    """For lanes that flood."""


class BackExecutors(NamedTuple):
    """Threads of the back track; which one runs is chosen for each run."""

    plain: Executor
    """For a lane that floods while nobody else is about."""

    yielding: Executor
    """For one that floods beside others: it leaves the processor to their runs."""

    def shutdown(self) -> None:
        """Wait for the runs that are on, and end the threads."""
        self.plain.shutdown()
        self.yielding.shutdown()


def open_back_executors(threads: int) -> BackExecutors | None:
    """Give threads for the back track; None for none, or where one core is all."""
    if threads < 1 or _usable_cores() < len(Track):
        return None
    return BackExecutors(
        ThreadPoolExecutor(threads, thread_name_prefix="back"),
        ThreadPoolExecutor(
            threads, thread_name_prefix="back-yielding", initializer=_yield_to_others
        ),
    )


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _yield_to_others() -> None:
    """Let every other thread go first, where the system keeps priorities of threads (Linux)."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
