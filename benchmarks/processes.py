"""Start a server, read what it costs from /proc, and stop it whatever happens."""

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

_READY_SECONDS = 60.0
_STOP_SECONDS = 15.0
_CLIENT_SECONDS = 30.0
_POLL_SECONDS = 0.05
_LOG_TAIL = 2000


class ServerFailed(Exception):
    """A server did not come up or answered wrongly; the message ends with its log."""


@dataclass(frozen=True, slots=True)
class ServerCommand:
    """How a server is started.

    ``{port}`` in arguments and values becomes its port and ``{grpc_port}`` that of gRPC; other
    names in braces are places that `running` is told.
    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    takes_grpc_alone: bool = False


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that answers on loopback, with the processes that do its work.

    `authority` is the file of the certificate authority where the URL is one of TLS; `socket` is
    where it listens instead of the URL's port. `grpc_port` is where it takes gRPC, if it does.
    """

    pids: tuple[int, ...]
    url: str
    log: Path
    grpc_port: int
    socket: Path | None = None
    authority: Path | None = None

    def client(self) -> httpx.Client:
        """Make a client that reaches the server and trusts it."""
        if self.socket is not None:
            transport = httpx.HTTPTransport(uds=str(self.socket))
            return httpx.Client(base_url=self.url, transport=transport, timeout=_CLIENT_SECONDS)
        trust = self.authority is None or ssl.create_default_context(cafile=str(self.authority))
        return httpx.Client(base_url=self.url, verify=trust, timeout=_CLIENT_SECONDS)


@contextlib.contextmanager
def running(
    command: ServerCommand, log: Path, *, places: Mapping[str, str] | None = None
) -> Iterator[RunningServer]:
    """Start a server, wait until it is ready, and stop its whole process group at the end.

    The place `socket`, where it is given, is where the server listens.

    Raises:
        ServerFailed: it exited, or was not ready within a minute.
    """
    port, grpc_port = _free_ports(2)
    own_places = {"port": str(port), "grpc_port": str(grpc_port)}
    known: Mapping[str, str] = own_places | dict(places or {})
    arguments = [part.format_map(known) for part in command.arguments]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("TOLLGATE_")}
    own = {name: value.format_map(known) for name, value in command.environment.items()}
    with log.open("ab") as output:
        process = subprocess.Popen(
            arguments,
            env=inherited | {"TOLLGATE_GRPC_PORT": "0"} | own,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        socket_path = Path(known["socket"]) if "socket" in known else None
        url = f"http://127.0.0.1:{port}"
        server = RunningServer((process.pid,), url, log, grpc_port, socket_path)
        _wait_until_ready(process, server, takes_http=not command.takes_grpc_alone)
        yield server
    finally:
        _stop(process)


def cpu_seconds(pids: Sequence[int]) -> float:
    """Add up user and system time of processes and their descendants, living and reaped."""
    ticks = 0
    for one in _family(pids):
        fields = _stat_fields(one)
        ticks += sum(int(value) for value in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_bytes(pids: Sequence[int]) -> int:
    """Add up the resident memory of processes and their descendants."""
    pages = 0
    for one in _family(pids):
        with contextlib.suppress(OSError):
            pages += int(Path(f"/proc/{one}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _family(pids: Sequence[int]) -> list[int]:
    """List processes and their living descendants."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        fields = _stat_fields(int(entry.name)) if entry.name.isdigit() else []
        if fields:
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    family: list[int] = []
    waiting = list(pids)
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


def _free_ports(count: int) -> list[int]:
    """Find TCP ports that nobody uses; all are held until the last one is found: none is twice."""
    with contextlib.ExitStack() as held:
        listeners = [
            held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        return [listener.getsockname()[1] for listener in listeners]


def _wait_until_ready(
    process: subprocess.Popen[bytes], server: RunningServer, *, takes_http: bool
) -> None:
    """Poll ``/healthz/ready``; an app without it says 404, which is an answer too."""
    give_up = time.monotonic() + _READY_SECONDS
    with server.client() as client:
        while time.monotonic() < give_up:
            if process.poll() is not None:
                raise ServerFailed(f"exited with {process.returncode}\n{log_tail(server)}")
            if _is_ready(client, server.socket) if takes_http else _is_listening(server.grpc_port):
                return
            time.sleep(_POLL_SECONDS)
    raise ServerFailed(f"not ready after {_READY_SECONDS:.0f} s\n{log_tail(server)}")


def _is_ready(client: httpx.Client, path: Path | None) -> bool:
    """Ask for readiness; a socket is tried first, since httpx leaks one that does not connect."""
    try:
        if path is not None:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(path))
        return not client.get("/healthz/ready").is_server_error
    except (httpx.TransportError, OSError):
        return False


def _is_listening(port: int) -> bool:
    """Try to connect to a port of loopback."""
    try:
        with socket.create_connection(("127.0.0.1", port)):
            return True
    except OSError:
        return False


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
