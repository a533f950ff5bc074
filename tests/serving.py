"""Run the product as its users do: a `tollgate` process on loopback with its own data folder."""

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.verdicts import share_verdicts

ROOT = Path(__file__).parents[1]
START_SECONDS = 180.0
STOP_SECONDS = 20.0
WATCH_SECONDS = 120.0
_POLL_SECONDS = 0.05
_PORTS = range(10_000, 32_768)
"""Below the ports that Linux chooses."""

_TURNS = itertools.count(os.getpid() * 997)
"""Processes that test side by side look in different places."""

TALKATIVE = {"TOLLGATE_LOG_LEVEL": "debug"}
"""Servers log all they can: at the end of a run their logs are searched for secrets."""

ONE_ADDRESS = {
    "TOLLGATE_FAILED_ATTEMPTS_PER_MINUTE": "1000000",
    "TOLLGATE_PUBLIC_REQUESTS_PER_MINUTE": "1000000",
    "TOLLGATE_TOKEN_REQUESTS_PER_MINUTE": "1000000",
}
"""All callers of a test share an address, and many a test counts refused keys."""

NO_GRPC = {"TOLLGATE_GRPC_PORT": "0"}
"""For servers that run beside others and are asked over HTTP alone."""


@dataclass(frozen=True)
class Answer:
    """One HTTP answer: status, headers in lower case, and the JSON body."""

    status: int
    headers: dict[str, str]
    body: Any


@dataclass
class Server:
    """A `tollgate demo` process that can be stopped, killed and started again on its data."""

    data_dir: Path
    port: int
    settings: dict[str, str] = field(default_factory=dict)
    wrapper: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Name the server's address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def demo(self) -> dict[str, Any]:
        """Read what the demo wrote down for its user."""
        document: dict[str, Any] = json.loads((self.data_dir / "demo.json").read_text())
        return document

    @property
    def has_ended(self) -> bool:
        """Whether the server was started and runs no more."""
        return self.process is not None and self.process.poll() is not None

    def start(self) -> None:
        """Start the process and wait until it takes predictions."""
        environment = os.environ | ONE_ADDRESS | NO_GRPC | TALKATIVE | self.settings
        environment |= {"TOLLGATE_PORT": str(self.port), "TOLLGATE_DATA_DIR": str(self.data_dir)}
        if not self.wrapper:
            share_verdicts(self.data_dir)
        with (self.data_dir / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.wrapper, sys.executable, "-m", "gateway.cli", "demo"],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
            )
        self._wait_until_ready()

    def kill(self) -> None:
        """End the process as a power cut would, with no chance to tidy up."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(STOP_SECONDS)

    def stop(self) -> int:
        """Ask the process to end and return its exit status."""
        if self.process is None or self.process.poll() is not None:
            return 0 if self.process is None else self.process.returncode
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def log(self) -> str:
        """Read what the process wrote."""
        return (self.data_dir / "server.log").read_text(errors="replace")

    def wait_until(self, is_so: Callable[[], bool], what: str) -> None:
        """Wait for something that can be observed, within a bound."""
        deadline = time.monotonic() + WATCH_SECONDS
        while not is_so():
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {WATCH_SECONDS} s: {what}\n{self.log()}")
            time.sleep(_POLL_SECONDS)

    def call(
        self,
        method: str,
        path: str,
        *,
        key: str = "",
        body: object = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Send one request and return whatever comes back."""
        data = encoded(body)
        request = urllib.request.Request(self.url + path, data, method=method)  # noqa: S310 - own
        if key:
            request.add_header("Authorization", f"Bearer {key}")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 - own
                return answer_of(response.status, dict(response.headers.items()), response.read())
        except urllib.error.HTTPError as error:
            with error:
                return answer_of(error.code, dict(error.headers.items()), error.read())

    def predict(self, key: str, body: object, *, model: str = "housing") -> Answer:
        """Ask for a prediction."""
        return self.call("POST", f"/v1/models/{model}:predict", key=key, body=body)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.has_ended:
                raise AssertionError(f"the server ended:\n{self.log()}")
            if self._is_ready():
                return
            time.sleep(_POLL_SECONDS)
        raise AssertionError(f"the server did not get ready:\n{self.log()}")

    def _is_ready(self) -> bool:
        try:
            return self.call("GET", "/healthz/ready").status == 200
        except OSError:
            return False


def free_port() -> int:
    """Find a TCP port that nobody uses, and another one with each call.

    A port that the kernel chooses may be chosen again, for the next server or for a client's end
    of a connection, before the server that it was found for has started.
    """
    for turn in itertools.islice(_TURNS, len(_PORTS)):
        port = _PORTS[turn % len(_PORTS)]
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def encoded(body: object) -> bytes | None:
    """Return the bytes of a body; a document as JSON."""
    if body is None or isinstance(body, bytes):
        return body
    return json.dumps(body).encode()


def answer_of(status: int, headers: dict[str, str], content: bytes) -> Answer:
    """Read an answer, its body as JSON where it is JSON."""
    names = {name.lower(): value for name, value in headers.items()}
    is_json = "json" in names.get("content-type", "")
    return Answer(status, names, json.loads(content) if is_json and content else content)
