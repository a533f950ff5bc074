"""Run `tollgate serve` with several workers, on a unix socket or a port."""

import asyncio
import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auth.scopes import ALL_SCOPES, USAGE_READ, USAGE_READ_ALL
from auth.tenants import PLATFORM_TENANT_ID
from gateway.cli.migrate import bring_up_to_date
from gateway.records import open_store
from gateway.settings import PREFIX, Settings
from tests.actors import TESTER
from tests.serving import (
    NO_GRPC,
    ROOT,
    START_SECONDS,
    TALKATIVE,
    Answer,
    Server,
    answer_of,
    encoded,
)

_ANSWER_SECONDS = 60.0
_ANNOUNCED = "Tollgate serves"
_ROLLED = "rolling restart is done"
_REQUEST = b"tollgate.access"
_STAYED = "rolling restart stops"
_MANIFEST = ROOT / "examples" / "models" / "housing" / "model.toml"


@dataclass
class Stack(Server):
    """A supervisor and its workers; `port` 0 means the unix socket in the data folder.

    `settings` are environment variables, as for TOLLGATE_REDIS_URL and TOLLGATE_DATABASE_URL. The
    database is made, and the keys of an admin and of billing, at the first start.
    """

    port: int = 0
    workers: int = 2
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def unix_socket(self) -> Path:
        """Name the socket for the proxy."""
        return self.data_dir / "http.sock"

    @property
    def address(self) -> int | Path:
        """Say where loads connect."""
        return self.port or self.unix_socket

    @property
    def demo(self) -> dict[str, Any]:
        """Return what `tollgate demo` would write down for loads: keys, and a body that works."""
        example = tomllib.loads(_MANIFEST.read_text())["example"]
        return {**self.keys, "model": "housing", "example": {"instances": [example]}}

    def start(self) -> None:
        """Start the server and wait until all of its workers serve."""
        if not self.keys:
            self.keys = _outside_the_loop(_prepare(self._settings()))
        news = self.news()
        self.begin()
        self._wait_until_ready()
        self.wait_until(lambda: news.tell(_ANNOUNCED), "all workers serve")

    def begin(self) -> None:
        """Start the server and wait for nothing."""
        place = ["--port", str(self.port)] if self.port else ["--unix-socket", self.unix_socket]
        with (self.data_dir / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway.cli", "serve", *place],
                cwd=ROOT,
                env=os.environ | self._environment(),
                stdout=log,
                stderr=log,
            )

    def worker_pids(self) -> list[int]:
        """List the worker processes, those included that start or end."""
        pid = self._supervisor().pid
        try:
            words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except FileNotFoundError:
            return []
        return [int(word) for word in words]

    def kill_worker(self, pid: int) -> None:
        """End one worker with no chance to tidy up."""
        os.kill(pid, signal.SIGKILL)

    def terminate(self) -> None:
        """Tell the server to end, and wait for nothing."""
        self._supervisor().send_signal(signal.SIGTERM)

    def kill_supervisor(self) -> None:
        """End the supervisor alone with no chance to tidy up, and wait until it is gone."""
        super().kill()

    def kill(self) -> None:
        """End everything as a power cut would."""
        if self.process is None or self.process.poll() is not None:
            return
        pids = self.worker_pids()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        self.process.send_signal(signal.SIGKILL)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.process.wait(START_SECONDS)
        self.wait_until(lambda: not any(map(_is_alive, pids)), "the killed workers are gone")

    def roll(self) -> None:
        """Restart the workers one by one, and wait until all of them are new."""
        news = self.news()
        self.reload()
        self.wait_until(lambda: news.tell(_ROLLED) or news.tell(_STAYED), "the restart is over")
        if news.tell(_STAYED):
            raise AssertionError(f"the rolling restart stopped:\n{self.log()}")

    def reload(self) -> None:
        """Ask for a rolling restart, and wait for nothing."""
        self._supervisor().send_signal(signal.SIGHUP)

    def news(self) -> "News":
        """Follow what is logged from now on."""
        return News(self.data_dir / "server.log")

    def call(
        self,
        method: str,
        path: str,
        *,
        key: str = "",
        body: object = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Send one request on a connection of its own and return whatever comes back."""
        authorization = {"Authorization": f"Bearer {key}"} if key else {}
        with contextlib.closing(self.connect()) as connection:
            connection.request(method, path, encoded(body), authorization | (headers or {}))
            with connection.getresponse() as response:
                return answer_of(response.status, dict(response.getheaders()), response.read())

    def connect(self) -> http.client.HTTPConnection:
        """Open a connection that can be kept."""
        if self.port:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=_ANSWER_SECONDS)
        return _UnixConnection(self.unix_socket)

    def _supervisor(self) -> subprocess.Popen[bytes]:
        assert self.process is not None
        return self.process

    def _environment(self) -> dict[str, str]:
        own = {"TOLLGATE_DATA_DIR": str(self.data_dir), "TOLLGATE_WORKERS": str(self.workers)}
        return NO_GRPC | TALKATIVE | self.settings | own

    def _settings(self) -> Settings:
        environment = self._environment().items()
        return Settings.model_validate(
            {
                name.removeprefix(PREFIX).lower(): value
                for name, value in environment
                if name.startswith(PREFIX)
            }
        )


class News:
    """What a log says from some moment on, but for the lines of requests."""

    def __init__(self, path: Path) -> None:
        path.touch()
        self._path = path
        self._offset = path.stat().st_size
        self._text = ""

    def tell(self, words: str) -> bool:
        """Read on, and say whether the words stand there."""
        with self._path.open("rb") as log:
            log.seek(self._offset)
            lines = log.read().splitlines(keepends=True)
        whole = [line for line in lines if line.endswith(b"\n")]
        self._offset += sum(map(len, whole))
        self._text += b"".join(line for line in whole if _REQUEST not in line).decode()
        return words in self._text


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_ANSWER_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Connect to the file."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_ANSWER_SECONDS)
        self.sock.connect(str(self._path))


@contextlib.contextmanager
def running_stack(folder: Path, *, workers: int = 2, **settings: str) -> Iterator[Stack]:
    """Run a stack on a unix socket for the length of a block; settings without their prefix."""
    stack = Stack(
        folder,
        workers=workers,
        settings={f"{PREFIX}{name.upper()}": value for name, value in settings.items()},
    )
    stack.start()
    try:
        yield stack
    finally:
        stack.stop()


async def _prepare(settings: Settings) -> dict[str, str]:
    await bring_up_to_date(settings)
    async with open_store(settings) as store:
        admin = await store.create_key(
            PLATFORM_TENANT_ID, actor=TESTER, name="admin", scopes=ALL_SCOPES
        )
        billing = await store.create_key(
            PLATFORM_TENANT_ID, actor=TESTER, name="billing", scopes=(USAGE_READ, USAGE_READ_ALL)
        )
    return {"admin_key": admin.api_key, "billing_key": billing.api_key}


def _outside_the_loop(work: Coroutine[Any, Any, dict[str, str]]) -> dict[str, str]:
    """Run a coroutine to its end, also where a test's loop runs."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(asyncio.run, work).result()


def _is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
