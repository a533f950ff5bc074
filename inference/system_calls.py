"""Allow a process nothing but to compute: a seccomp filter of the system calls that takes.

Threat: a hole in the engine is a hole in whatever process runs it. Behind this filter there is no
file, socket, program or other process to reach, and a call that a later kernel adds is refused too.
A refused call fails with EPERM, as it does where the platform lacks it.

Source: seccomp(2), linux/filter.h, linux/audit.h, the system call tables of Linux 6.
"""

import ctypes
import platform
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

_SET_MODE_FILTER = 1
_ALL_THREADS = 1
_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_ALLOW: Final = 0x7FFF0000
_FAIL: Final = 0x00050000
_KILL: Final = 0x80000000
_EPERM, _ENOSYS = 1, 38
_CLONE_THREAD = 0x00010000


_CALLS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "read": (0, 63),
        "write": (1, 64),
        "close": (3, 57),
        "fstat": (5, 80),
        "lseek": (8, 62),
        "pread64": (17, 67),
        "mmap": (9, 222),
        "mprotect": (10, 226),
        "munmap": (11, 215),
        "mremap": (25, 216),
        "madvise": (28, 233),
        "brk": (12, 214),
        "rt_sigaction": (13, 134),
        "rt_sigprocmask": (14, 135),
        "rt_sigreturn": (15, 139),
        "sigaltstack": (131, 132),
        "futex": (202, 98),
        "set_robust_list": (273, 99),
        "rseq": (334, 293),
        "sched_yield": (24, 124),
        "sched_getaffinity": (204, 123),
        "getcpu": (309, 168),
        "nanosleep": (35, 101),
        "clock_nanosleep": (230, 115),
        "clock_gettime": (228, 113),
        "clock_getres": (229, 114),
        "gettimeofday": (96, 169),
        "getrandom": (318, 278),
        "getpid": (39, 172),
        "gettid": (186, 178),
        "getrusage": (98, 165),
        "sysinfo": (99, 179),
        "uname": (63, 160),
        "restart_syscall": (219, 128),
        "exit": (60, 93),
        "exit_group": (231, 94),
    }
)
"""What computing takes, by its number on x86_64 and on aarch64.

A thread is a `clone` with a flag; `clone3`, whose flags no filter can read, is told not to exist,
and the C library falls back.
"""


@dataclass(frozen=True, slots=True)
class _Architecture:
    """One kind of processor."""

    column: int
    """Place of its numbers in the table."""

    audit_number: int
    seccomp: int
    clone: int
    clone3: int = 435


_ARCHITECTURES: Mapping[str, _Architecture] = MappingProxyType(
    {
        "x86_64": _Architecture(0, audit_number=0xC000003E, seccomp=317, clone=56),
        "aarch64": _Architecture(1, audit_number=0xC00000B7, seccomp=277, clone=220),
    }
)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def allow_computing_only() -> bool:
    """Install the filter for all threads, for good; False where the platform has none.

    The process must have given up new privileges before.
    """
    architecture = _ARCHITECTURES.get(platform.machine())
    if platform.system() != "Linux" or architecture is None:
        return False
    instructions = _assemble(architecture)
    program = _Program(len(instructions) // 8, instructions)
    libc = ctypes.CDLL(None, use_errno=True)
    status: int = libc.syscall(
        ctypes.c_long(architecture.seccomp),
        ctypes.c_ulong(_SET_MODE_FILTER),
        ctypes.c_ulong(_ALL_THREADS),
        ctypes.byref(program),
    )
    return status == 0


def _assemble(architecture: _Architecture) -> bytes:
    """Write the filter: each test is followed by what happens when it holds."""
    program = [
        _instruction(_LOAD, _ARCHITECTURE_AT),
        _instruction(_JUMP_IF_EQUAL, architecture.audit_number, when_true=1),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, _NUMBER_AT),
        _instruction(_JUMP_IF_EQUAL, architecture.clone3, when_false=1),
        _instruction(_RETURN, _FAIL | _ENOSYS),
    ]
    for numbers in _CALLS.values():
        program.append(_instruction(_JUMP_IF_EQUAL, numbers[architecture.column], when_false=1))
        program.append(_instruction(_RETURN, _ALLOW))
    program += [
        _instruction(_JUMP_IF_EQUAL, architecture.clone, when_false=3),
        _instruction(_LOAD, _FIRST_ARGUMENT_AT),
        _instruction(_JUMP_IF_ANY_BIT, _CLONE_THREAD, when_false=1),
        _instruction(_RETURN, _ALLOW),
        _instruction(_RETURN, _FAIL | _EPERM),
    ]
    return b"".join(program)


def _instruction(code: int, operand: int, *, when_true: int = 0, when_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, when_true, when_false, operand)
