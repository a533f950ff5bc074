"""A process that sealed itself can compute, and nothing else."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

PREPARE = """
import ctypes, os, resource, signal, socket, subprocess, sys, threading
from inference.confinement import leave_network, limit_resources, seal
left = limit_resources(memory_bytes=512 * 1024**2, processor_seconds=5) + seal()
"""
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "LANG": "C.UTF-8"}


def confined(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process that has confined itself."""
    return subprocess.run(
        [sys.executable, "-I", "-B", "-c", PREPARE + code],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_everything_is_given_up_here() -> None:
    """On Linux nothing is left; a platform that cannot is named in the report."""
    assert confined("print(left)").stdout.strip() == "[]"


@pytest.mark.parametrize(
    "code",
    [
        "open('/etc/passwd')",
        "open('/tmp/tollgate-confined', 'w')",
        "os.listdir('/')",
        "os.stat('/etc/passwd')",
        "os.unlink('/tmp/tollgate-confined')",
        "os.rename('/tmp/a', '/tmp/b')",
        "os.mkdir('/tmp/tollgate-confined')",
        "os.link('/etc/passwd', '/tmp/tollgate-confined')",
        "os.chmod('/tmp', 0o777)",
        "socket.socket()",
        "socket.socketpair()",
        "os.pipe()",
        "os.fork()",
        "subprocess.run(['/bin/true'])",
        "os.execv('/bin/true', ['true'])",
        "os.kill(os.getppid(), signal.SIGTERM)",
        "os.kill(os.getppid(), 0)",
        "resource.setrlimit(resource.RLIMIT_CPU, (9, 9))",
        "os.setuid(0)",
        "os.nice(-1)",
    ],
)
def test_sealed_process_is_refused(code: str) -> None:
    """Files, names, sockets, programs, signals and limits are all out of reach."""
    ended = confined(
        f"try:\n    {code}\nexcept (PermissionError, ValueError):\n    print('refused')"
    )
    assert ended.stdout == "refused\n", ended.stderr


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are those of x86_64")
@pytest.mark.parametrize(
    "number", [101, 165, 272, 310, 321, 425, 434, 438, 452, 9999, 0x40000000 + 520]
)
def test_unknown_system_call_is_refused(number: int) -> None:
    """Tracing, mounts, namespaces, other processes' memory, BPF, io_uring, and what comes later."""
    ended = confined(
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        f"print(libc.syscall({number}, 0, 0, 0, 0), ctypes.get_errno())"
    )
    assert ended.stdout == "-1 1\n"


def test_threads_still_start() -> None:
    """An engine may compute with several."""
    code = (
        "thread = threading.Thread(target=print, args=('from a thread',))\n"
        "thread.start()\nthread.join()"
    )
    assert confined(code).stdout == "from a thread\n"


def test_memory_is_bounded() -> None:
    """What goes beyond is refused, and the process may say so."""
    code = "try:\n    bytearray(600 * 1024**2)\nexcept MemoryError:\n    print('refused')"
    assert confined(code).stdout == "refused\n"


def test_sealed_process_has_no_rights() -> None:
    """It is nobody, root could lift its own limits, and no program can give it rights back."""
    with subprocess.Popen(
        [sys.executable, "-I", "-B", "-c", PREPARE + "print(left, flush=True)\ninput()"],
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        status = Path(f"/proc/{process.pid}/status").read_text()
    found = dict(line.split(":\t", 1) for line in status.splitlines())
    assert found["NoNewPrivs"] == "1"
    assert found["Seccomp"] == "2"
    assert int(found["CapEff"], 16) == 0
    assert "0" not in found["Uid"].split()


def test_process_ends_with_the_server() -> None:
    """A server that is killed leaves no child behind that computes on.

    The run ends when the last process that holds its output is gone.
    """
    code = "print(left, file=sys.stderr, flush=True)\nwhile True: pass"
    child = PREPARE.replace("processor_seconds=5", "processor_seconds=1000") + code
    starter = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-I', '-B', '-c', {child!r}],\n"
        "    stderr=subprocess.PIPE)\n"
        "child.stderr.readline()\n"
    )
    subprocess.run([sys.executable, "-c", starter], capture_output=True, check=True, timeout=60)
