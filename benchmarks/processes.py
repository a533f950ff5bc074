"""Start a server, read what it costs from /proc, and stop it whatever happens."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

_READY_SECONDS = 60.0
_STOP_SECONDS = 15.0
_POLL_SECONDS = 0.05
_LOG_TAIL = 2000


class ServerFailed(Exception):
    """A server did not come up or answered wrongly; the message ends with its log."""


@dataclass(frozen=True, slots=True)
class ServerCommand:
    """How a server is started; ``{port}`` in arguments and values becomes its port."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that answers on loopback."""

    pid: int
    url: str
    log: Path


@contextlib.contextmanager
def running(command: ServerCommand, log: Path) -> Iterator[RunningServer]:
    """Start a server, wait until it is ready, and stop its whole process group at the end.

    Raises:
        ServerFailed: it exited, or was not ready within a minute.
    """
    port = _free_port()
    arguments = [part.format(port=port) for part in command.arguments]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("TOLLGATE_")}
    own = {name: value.format(port=port) for name, value in command.environment.items()}
    with log.open("ab") as output:
        process = subprocess.Popen(
            arguments,
            env=inherited | own,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        server = RunningServer(process.pid, f"http://127.0.0.1:{port}", log)
        _wait_until_ready(process, server)
        yield server
    finally:
        _stop(process)


def cpu_seconds(pid: int) -> float:
    """Add up user and system time of a process and its descendants, living and reaped."""
    ticks = 0
    for one in _family(pid):
        fields = _stat_fields(one)
        ticks += sum(int(value) for value in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Add up the resident memory of a process and its descendants."""
    pages = 0
    for one in _family(pid):
        with contextlib.suppress(OSError):
            pages += int(Path(f"/proc/{one}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _family(pid: int) -> list[int]:
    """List a process and its living descendants."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        fields = _stat_fields(int(entry.name)) if entry.name.isdigit() else []
        if fields:
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    family, waiting = [], [pid]
    while waiting:
        family.append(waiting.pop())
        waiting += parents.get(family[-1], [])
    return family


def _stat_fields(pid: int) -> list[str]:
    """Read /proc/pid/stat after the name (proc(5)): 0 state, 1 parent, 11 to 14 CPU ticks."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _wait_until_ready(process: subprocess.Popen[bytes], server: RunningServer) -> None:
    """Poll ``/healthz/ready``; an app without it says 404, which is an answer too."""
    give_up = time.monotonic() + _READY_SECONDS
    while time.monotonic() < give_up:
        if process.poll() is not None:
            raise ServerFailed(f"exited with {process.returncode}\n{log_tail(server)}")
        with contextlib.suppress(httpx.TransportError):
            if not httpx.get(f"{server.url}/healthz/ready").is_server_error:
                return
        time.sleep(_POLL_SECONDS)
    raise ServerFailed(f"not ready after {_READY_SECONDS:.0f} s\n{log_tail(server)}")


def log_tail(server: RunningServer) -> str:
    """Read the end of what a server wrote."""
    return server.log.read_text(errors="replace")[-_LOG_TAIL:]


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the group to end, then end it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(_STOP_SECONDS)
