"""A real nginx of our own with the shipped configuration, in a folder that a test gives.

It listens on loopback, on free ports, and passes requests to a unix socket that the test names.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.certificates import NAME, Certificates, make_certificates
from tests.serving import ROOT, free_port

RENDER = ROOT / "nginx" / "render.sh"
BINARY = shutil.which("nginx") or "/usr/sbin/nginx"
START_SECONDS = 30.0
STOP_SECONDS = 20.0
_POLL_SECONDS = 0.02


class NginxServer:
    """Render, start, reload and stop one nginx; `settings` are variables of `render.sh`."""

    def __init__(
        self, folder: Path, upstream: Path, *, binary: str = BINARY, **settings: str
    ) -> None:
        self.folder = folder
        self._binary = binary
        self.tls_port, self.plain_port = free_port(), free_port()
        self.certificates: Certificates = make_certificates(folder / "tls")
        self._process: subprocess.Popen[bytes] | None = None
        self._variables = {
            "NGINX_BINARY": binary,
            "NGINX_ADDRESSES": "127.0.0.1",
            "NGINX_HTTP_PORT": str(self.plain_port),
            "NGINX_HTTPS_PORT": str(self.tls_port),
            "NGINX_PUBLIC_PORT": str(self.tls_port),
            "NGINX_SERVER_NAMES": NAME,
            "NGINX_CERTIFICATE": str(self.certificates.certificate),
            "NGINX_CERTIFICATE_KEY": str(self.certificates.key),
            "NGINX_FOLDER": str(folder / "run"),
            "NGINX_ACCESS_LOG": str(folder / "access.log"),
            "NGINX_ERROR_LOG": str(folder / "error.log"),
            "NGINX_USER": "root root" if os.geteuid() == 0 else "",
            "NGINX_WORKERS": "2",
            "TOLLGATE_UNIX_SOCKET": str(upstream),
            **settings,
        }

    @property
    def url(self) -> str:
        """Name the address that clients use; trust `certificates.context()` for it."""
        return f"https://{NAME}:{self.tls_port}"

    @property
    def pid(self) -> int:
        """Name the main process."""
        assert self._process is not None
        return self._process.pid

    @property
    def plain_url(self) -> str:
        """Name the address without TLS."""
        return f"http://{NAME}:{self.plain_port}"

    @property
    def configuration(self) -> Path:
        """Name the rendered main file."""
        return self.folder / "conf" / "nginx.conf"

    def render(self) -> None:
        """Write the configuration anew."""
        render(self.configuration.parent, self._variables)

    def check(self) -> str:
        """Let nginx check the configuration and return what it says."""
        done = subprocess.run(
            [*self._command(), "-t"], check=False, capture_output=True, text=True, timeout=60
        )
        return done.stderr

    def start(self) -> None:
        """Render the configuration, start nginx on it and wait until it takes connections."""
        self.render()
        with (self.folder / "error.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command(), "-g", "daemon off;"], stdout=log, stderr=log
            )
        self._wait_until(self._listens)

    def reload(self) -> None:
        """Do as `nginx -s reload` does, and wait until new workers have taken over."""
        before = self.workers()
        subprocess.run([*self._command(), "-s", "reload"], check=True, timeout=START_SECONDS)
        self._wait_until(
            lambda: bool(self.workers() - before) and not any(map(_takes_connections, before))
        )

    def renew_certificate(self) -> None:
        """Put a new certificate where the old one is, and reload."""
        self.certificates = make_certificates(self.folder / "tls")
        self.reload()

    def workers(self) -> set[int]:
        """List the worker processes, those included that only end what they began."""
        assert self._process is not None
        pid = self._process.pid
        return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))

    def stop(self) -> None:
        """End it, and fail if it has to be killed."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def error_log(self) -> str:
        """Read what nginx complained about."""
        return (self.folder / "error.log").read_text(errors="replace")

    def access_log(self) -> list[dict[str, Any]]:
        """Read the requests that were logged until now."""
        return [json.loads(line) for line in self._access_lines()]

    def logged(self, request_id: str) -> dict[str, Any]:
        """Read the line of one request, waiting for it: it is written after the answer."""
        self._wait_until(lambda: any(request_id in line for line in self._access_lines()))
        return next(line for line in self.access_log() if line["request_id"] == request_id)

    def _access_lines(self) -> list[str]:
        return (self.folder / "access.log").read_text().splitlines()

    def _command(self) -> list[str]:
        return [self._binary, "-c", str(self.configuration), "-e", str(self.folder / "error.log")]

    def _listens(self) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.tls_port), 1).close()
            return True
        return False

    def _wait_until(self, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not is_so():
            if self._process is None or self._process.poll() is not None:
                raise AssertionError(f"nginx ended:\n{self.error_log()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"nginx does not get on:\n{self.error_log()}")
            time.sleep(_POLL_SECONDS)


def _takes_connections(worker: int) -> bool:
    """Tell whether a worker is neither gone nor only ending what it began.

    For a moment after a reload the old and the new ones take connections from the same socket.
    """
    try:
        return b"shutting down" not in Path(f"/proc/{worker}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def newer_nginx(folder: Path, suite: str) -> str:
    """Unpack the nginx of a later release of Debian and name the command that runs it."""
    command = [str(ROOT / "scripts" / "newer-nginx.sh"), str(folder), suite]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    return done.stdout.strip()


def render(folder: Path, variables: dict[str, str]) -> None:
    """Run `nginx/render.sh`.

    Raises:
        subprocess.CalledProcessError: with what it printed, when it refuses a variable.
    """
    environment = {"PATH": f"{os.environ['PATH']}:/usr/sbin", "NGINX_BINARY": BINARY} | variables
    command = [str(RENDER), str(folder)]
    subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=60)


@contextlib.contextmanager
def running_nginx(
    folder: Path, upstream: Path, *, binary: str = BINARY, **settings: str
) -> Iterator[NginxServer]:
    """Run an nginx for the length of a block."""
    server = NginxServer(folder, upstream, binary=binary, **settings)
    try:
        server.start()
        yield server
    finally:
        server.stop()
