"""Libraries that stand between a process and the system, built from C for the tests."""

import struct
import subprocess
import time
from pathlib import Path

HERE = Path(__file__).parent
SECOND_NS = 1_000_000_000


def build_library(name: str, folder: Path) -> Path:
    """Compile `name`.c as a library for LD_PRELOAD."""
    library = folder / f"{name}.so"
    build = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(HERE / f"{name}.c"), "-ldl"]
    subprocess.run(build, check=True)
    return library


class WallClock:
    """The time of day of the processes that are started with its settings."""

    def __init__(self, folder: Path) -> None:
        """Build the library in an empty folder; at first the clock is right."""
        self._library = build_library("wall_clock", folder)
        self._file = folder / "offset"
        self._file.write_bytes(struct.pack("=q", 0))

    @property
    def settings(self) -> dict[str, str]:
        """What the environment of a process needs."""
        return {"LD_PRELOAD": str(self._library), "WALL_CLOCK": str(self._file)}

    def set(self, seconds: float) -> None:
        """Let it be so many seconds after the epoch now."""
        offset_ns = int(seconds * SECOND_NS) - time.time_ns()
        with self._file.open("r+b", buffering=0) as file:
            file.write(struct.pack("=q", offset_ns))
