"""What Linux tells of processes."""

import contextlib
import resource
from pathlib import Path


def children_of(process: int) -> list[int]:
    """List the processes that one has started and that are still there."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            number, _, rest = status.read_text().partition(" ")
            if int(rest.rpartition(")")[2].split()[1]) == process:
                found.append(int(number))
    return found


def resident_bytes(*pids: int) -> int:
    """Add up what processes hold in memory."""
    pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids]
    return sum(pages) * resource.getpagesize()
