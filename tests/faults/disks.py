"""Disks that can be filled, or fail in other ways, and be freed under a running server."""

import contextlib
import resource
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.faults.preloaded import build_library
from tests.serving import Server

VOLUME_MEBIBYTES = 24
_PIECE = b"\0" * 65536
_NO_LIMIT = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


class Disk(Protocol):
    """A place for the data of a server that can be full, or take nothing for another reason."""

    @property
    def settings(self) -> dict[str, str]:
        """What the server's environment needs."""

    def fill(self, server: Server) -> None:
        """Leave the server no room for anything more."""

    def free(self, server: Server) -> None:
        """Give the room back."""


@dataclass(frozen=True)
class Volume:
    """A small file system of its own: full as disks are, ENOSPC for every writer."""

    path: Path

    @property
    def settings(self) -> dict[str, str]:
        """Nothing."""
        return {}

    def fill(self, _: Server) -> None:
        """Write until there is no byte left."""
        with self._ballast().open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while ballast.write(_PIECE):
                pass

    def free(self, _: Server) -> None:
        """Take the ballast away."""
        self._ballast().unlink()

    def _ballast(self) -> Path:
        return self.path / "ballast"


class FileSizeLimit:
    """A bound on the size of files that the process may write, which needs no privileges.

    EFBIG where a full disk says ENOSPC; files that are smaller can still be written.
    """

    @property
    def settings(self) -> dict[str, str]:
        """Nothing."""
        return {}

    def fill(self, server: Server) -> None:
        """Let no file grow over a page."""
        self._set(server, (4096, resource.RLIM_INFINITY))

    def free(self, server: Server) -> None:
        """Lift the bound."""
        self._set(server, _NO_LIMIT)

    def _set(self, server: Server, limits: tuple[int, int]) -> None:
        assert server.process is not None
        if server.process.poll() is None:
            resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, limits)


class FailingDisk:
    """A disk whose calls fail in the process itself (`failing_disk.c`), which needs no privileges.

    As READ_ONLY everything that would write fails with EROFS, as NO_SYNC whatever should make it
    durable with EIO.
    """

    def __init__(self, folder: Path, kind: str) -> None:
        """Build the library in an empty folder."""
        self._library = build_library("failing_disk", folder)
        self._flag = folder / "fails"
        self._kind = kind

    @property
    def settings(self) -> dict[str, str]:
        """Have the library loaded, and say which file makes the disk fail."""
        return {"LD_PRELOAD": str(self._library), f"FAILING_DISK_{self._kind}": str(self._flag)}

    def fill(self, _: Server) -> None:
        """Let calls fail from now on."""
        self._flag.touch()

    def free(self, _: Server) -> None:
        """Let them pass again."""
        self._flag.unlink()


@contextlib.contextmanager
def mounted_volume(path: Path) -> Iterator[Volume]:
    """Mount a small file system in memory.

    Raises:
        CalledProcessError: this user may not mount.
    """
    options = f"size={VOLUME_MEBIBYTES}m"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], check=True)
    try:
        yield Volume(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def may_mount(path: Path) -> bool:
    """Say whether this user may mount file systems here."""
    try:
        with mounted_volume(path):
            return True
    except (subprocess.CalledProcessError, FileNotFoundError):
        return False
