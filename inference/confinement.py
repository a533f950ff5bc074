"""Take from the own process what a hostile model could use: memory, time, files, network, rights.

Everything here holds for good and for all threads. What the platform does not offer is named in the
report, never passed over in silence. There is no limit on the number of processes: it counts all
processes of the user, the server's own among them; the filter of system calls lets none start.

Source: setrlimit(2), prctl(2), unshare(2), proc(5).
"""

import contextlib
import ctypes
import os
import resource
import signal
from pathlib import Path
from typing import Final

from inference.system_calls import allow_computing_only

_SET_PARENT_DEATH_SIGNAL = 1
_SET_NO_NEW_PRIVILEGES = 38
_NEW_NETWORK = 0x40000000
_NEW_USER = 0x10000000
_NEW_IPC = 0x08000000
_NOBODY: Final = 65534
_NICENESS: Final = 5
"""A third of the weight of customers' requests."""

_FIRST_TO_DIE: Final = "1000"


def limit_resources(*, memory_bytes: int, processor_seconds: int) -> list[str]:
    """Bound memory beyond what is held now, processor time and files; name what cannot be bounded.

    The kernel gives no more memory, and ends a process that uses more time: by SIGXCPU, which says
    why, and a second later for certain.
    """
    bounds = {
        "memory": (resource.RLIMIT_AS, _held_bytes() + memory_bytes, 0),
        "processor time": (resource.RLIMIT_CPU, processor_seconds, 1),
        "size of files": (resource.RLIMIT_FSIZE, 0, 0),
        "core dumps": (resource.RLIMIT_CORE, 0, 0),
    }
    unprotected = []
    for what, (kind, bound, grace) in bounds.items():
        try:
            resource.setrlimit(kind, (bound, bound + grace))
        except (OSError, ValueError):
            unprotected.append(what)
    _give_way_to_others()
    return unprotected


def leave_network() -> bool:
    """Move into a network of the process's own, where there is nobody; say whether that went.

    Without rights it takes a user namespace too, which many systems refuse, and a single thread.
    """
    flags = _NEW_NETWORK | _NEW_IPC
    if os.geteuid() != 0:
        flags |= _NEW_USER
    try:
        status: int = _libc().unshare(ctypes.c_int(flags))
    except AttributeError:
        return False
    return status == 0


def seal() -> list[str]:
    """Give up every right that computing does not need; name what could not be given up.

    All modules must be loaded and all files read: nothing can be opened afterwards.
    """
    unprotected = []
    if not _become_nobody():
        unprotected.append("user")
    if not _set_option(_SET_NO_NEW_PRIVILEGES, 1):
        unprotected.append("privileges")
    _set_option(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if not allow_computing_only():
        unprotected.append("system calls")
    return unprotected


def _become_nobody() -> bool:
    """Stop being root, where the process is: root may lift its own limits."""
    if os.geteuid() != 0:
        return True
    try:
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)
    except OSError:
        return False
    return True


def _give_way_to_others() -> None:
    """Let customers' requests go first, and let the kernel end this process before the server."""
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_DIE, encoding="ascii")


def _held_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return 0
    return pages * resource.getpagesize()


def _set_option(option: int, value: int) -> bool:
    try:
        status: int = _libc().prctl(
            ctypes.c_int(option),
            ctypes.c_ulong(value),
            ctypes.c_ulong(0),
            ctypes.c_ulong(0),
            ctypes.c_ulong(0),
        )
    except AttributeError:
        return False
    return status == 0


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
