"""One worker process as its supervisor sees it: how far its start has come, and its end."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from gateway.supervisor.occupancy import Occupancy

PREPARED: Final = "prepared"
READY: Final = "ready"
FAILED: Final = "failed"
_LONGEST_REPORT_BYTES: Final = 1024 * 1024


class WorkerFailed(Exception):
    """A worker did not get ready; the message says why."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What every worker of a server is started with."""

    listener: socket.socket
    """The socket that all of them accept from."""

    lifeline: int
    """The reading end of a pipe that breaks when the supervisor is gone."""

    occupancy: Occupancy
    """How many connections each of them has."""

    environment: Mapping[str, str]
    """The settings."""

    board: int
    """The shared memory that requests are counted in; -1 where nobody reads metrics."""

    on_death: Callable[[], None]
    """Called when a worker ended without being told to."""


class WorkerProcess:
    """A started process; `prepared` and `ready` tell how far it is.

    It runs in a process group of its own, so that Ctrl-C reaches the supervisor alone.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._reached = {step: asyncio.Event() for step in (PREPARED, READY)}
        self._failure = ""
        self._watch = asyncio.create_task(process.wait())
        self._follow: asyncio.Task[None] | None = None
        self.models: list[str] = []
        """The models that it serves, once it is ready."""

    @classmethod
    async def start(cls, launch: Launch, *, number: int) -> Self:
        """Start a process in the place of this number.

        Threat: settings, secrets among them, go by the environment, which others cannot read; the
        words of a command can be read by everybody on the machine. `-P` keeps the folder that the
        supervisor was started in from providing modules.
        """
        reading, writing = os.pipe()
        place = launch.occupancy.claim()
        words = (
            launch.listener.fileno(),
            launch.lifeline,
            writing,
            launch.occupancy.descriptor,
            launch.board,
        )
        try:
            process = await asyncio.create_subprocess_exec(
                *(
                    sys.executable,
                    "-P",
                    "-m",
                    "gateway.cli.worker",
                    *map(str, (*words, place, number)),
                ),
                env=dict(launch.environment),
                stdin=subprocess.DEVNULL,
                pass_fds=tuple(word for word in words if word >= 0),
                process_group=0,
            )
        except OSError:
            os.close(reading)
            launch.occupancy.release(place)
            raise
        finally:
            os.close(writing)
        worker = cls(process)
        worker._watch.add_done_callback(lambda _: launch.occupancy.release(place))
        worker._follow = asyncio.create_task(worker._read_reports(reading))
        return worker

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def is_ready(self) -> bool:
        """Whether it ever got ready."""
        return self._reached[READY].is_set()

    @property
    def status(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.returncode

    async def prepared(self, seconds: float) -> None:
        """Wait until it lacks nothing but what another worker still holds.

        Raises:
            WorkerFailed: it said so, it ended, or it took too long.
        """
        await self._reach(PREPARED, seconds)

    async def ready(self, seconds: float) -> None:
        """Wait until it serves.

        Raises:
            WorkerFailed: it said so, it ended, or it took too long.
        """
        await self._reach(READY, seconds)

    async def ended(self) -> None:
        """Wait until the process is gone; cancelling the wait does not end it."""
        await asyncio.shield(self._watch)

    async def end(self, seconds: float) -> bool:
        """Ask it to drain and wait; past the time it is killed, and the answer is False."""
        self.signal(signal.SIGTERM if self.is_ready else signal.SIGKILL)
        try:
            async with asyncio.timeout(seconds):
                await self.ended()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await self.ended()
            return False
        return True

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the process is gone."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def _reach(self, step: str, seconds: float) -> None:
        reached = asyncio.create_task(self._reached[step].wait())
        gone = asyncio.create_task(self._told_all())
        await asyncio.wait((reached, gone), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for waiting in (reached, gone):
            waiting.cancel()
        if self._reached[step].is_set() and self.status is None:
            return
        if gone.done() and not gone.cancelled():
            raise WorkerFailed(self._failure or f"it ended with status {self.status}")
        raise WorkerFailed(f"it was not {step} within {seconds:g} seconds")

    async def _told_all(self) -> None:
        """Wait for the end of the process and of what it said."""
        await self.ended()
        if self._follow is not None:
            await asyncio.shield(self._follow)

    async def _read_reports(self, reading: int) -> None:
        """Follow what it says of its start, one JSON document in each line."""
        stream = asyncio.StreamReader(_LONGEST_REPORT_BYTES)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(reading, "rb", 0)
        )
        with contextlib.closing(transport):
            async for line in stream:
                self._take(json.loads(line))

    def _take(self, report: dict[str, Any]) -> None:
        step = report["step"]
        if step == FAILED:
            self._failure = report["reason"]
            return
        if step == READY:
            self.models = report["models"]
            self._reached[PREPARED].set()
        self._reached[step].set()
