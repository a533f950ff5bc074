"""Real redis-servers of our own, in a folder that a test gives: one alone, or one of a cluster."""

import contextlib
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import redis

READY = "eady to accept connections"  # over TCP and over a unix socket it is worded differently


class RedisProcess:
    """Start, kill, hang and ask one redis-server; it keeps nothing on disk."""

    def __init__(self, folder: Path, url: str, options: Sequence[str]) -> None:
        self.url = url
        """Where clients connect."""

        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        """Name the process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it empty and wait until it accepts connections."""
        options = ["--save", "", "--appendonly", "no", "--dir", str(self._folder)]
        self._process = subprocess.Popen(
            ["redis-server", *self._options, *options], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        log = []
        for line in self._process.stdout:
            log.append(line)
            if READY in line:
                return
        raise AssertionError("redis-server did not start:\n" + "".join(log))

    def kill(self) -> None:
        """End it at once, with all it holds."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()

    def hang(self) -> None:
        """Stop it where it is: connections stay, and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def ask(self, *command: str | int) -> Any:  # noqa: ANN401 - whatever Redis answers
        """Send one command and return its answer."""
        with redis.Redis.from_url(self.url) as client:
            return client.execute_command(*command)


class RedisServer(RedisProcess):
    """A redis-server alone, on a unix socket."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "redis.sock"
        options = ["--port", "0", "--unixsocket", str(self.socket)]
        super().__init__(folder, f"unix://{self.socket}", options)

    def start(self) -> None:
        """Start it empty and wait until it accepts connections."""
        self.socket.unlink(missing_ok=True)
        super().start()


@contextlib.contextmanager
def running_redis(folder: Path) -> Iterator[RedisServer]:
    """Run a server for the length of a block."""
    server = RedisServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()
