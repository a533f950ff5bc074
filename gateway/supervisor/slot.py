"""One worker's place: filled at the start, refilled after a death, changed at a rolling restart."""

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable
from typing import Final

from gateway.supervisor.worker_process import Launch, WorkerFailed, WorkerProcess

START_SECONDS: Final = 300.0
_CLOSING_SECONDS: Final = 20.0
"""What a worker may take after its last answer: the rest of the usage goes to the ledger."""

_HURRY_SECONDS: Final = 5.0
_STEADY_SECONDS: Final = 30.0
_FIRST_PAUSE_SECONDS: Final = 0.25
_MAX_PAUSE_SECONDS: Final = 10.0

logger = logging.getLogger(__name__)


def pause_after(failures: int) -> float:
    """Return how many seconds to wait after so many starts in a row that did not last."""
    if failures == 0:
        return 0.0
    return min(_FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 10), _MAX_PAUSE_SECONDS)


class Slot:
    """Keep one worker at work.

    Concurrency: whoever changes the worker holds the lock, so a death during a rolling restart is
    answered by that restart.
    """

    def __init__(self, number: int, launch: Launch, *, drain_seconds: float) -> None:
        """Build an empty place that `fill` fills."""
        self._number = number
        self._name = f"worker {number}"
        self._launch = launch
        self._end_seconds = drain_seconds + _CLOSING_SECONDS
        self._lock = asyncio.Lock()
        self._worker: WorkerProcess | None = None
        self._processes: set[WorkerProcess] = set()

    async def fill(self) -> list[str]:
        """Start the first worker and return the models that it serves.

        Raises:
            WorkerFailed: it did not get ready.
        """
        worker = await self._start()
        await self._until(worker.ready(START_SECONDS), worker)
        self._worker = worker
        return worker.models

    async def keep(self) -> None:
        """Replace the worker whenever it is gone, with longer pauses the shorter it lives."""
        failures = 0
        while self._worker is not None:
            worker, began = self._worker, time.monotonic()
            await worker.ended()
            async with self._lock:
                if self._worker is not worker:
                    continue
                failures = 0 if time.monotonic() - began > _STEADY_SECONDS else failures
                self._launch.on_death()
                logger.error("%s (pid %d) died: %s", self._name, worker.pid, _told(worker))
                failures = await self._refill(failures)

    async def replace(self) -> None:
        """Put a new worker in place of the old, which stays where the new one does not get ready.

        A worker whose limits are counted in Redis is ready before the old one ends. One that counts
        them itself waits until the old one has ended, or each would grant the whole limit; callers
        wait in the socket's backlog meanwhile.

        Raises:
            WorkerFailed: the new one did not get ready, and the old one goes on.
        """
        async with self._lock:
            old, new = self._worker, await self._start()
            await self._until(new.prepared(START_SECONDS), new)
            if not new.is_ready:
                logger.info("%s: limits are in the worker, so the old one ends first", self._name)
            self._worker = new
            await self._retire(old)
            await self._until(new.ready(START_SECONDS), new)
            logger.info("%s: pid %d has taken over", self._name, new.pid)

    async def end(self) -> None:
        """Let every process of this place finish what it has, and end."""
        await asyncio.gather(*(self._retire(process) for process in self._processes))

    def hurry(self) -> None:
        """Let them cut what they have, and kill what is not gone soon."""
        for process in self._processes:
            process.signal(signal.SIGTERM if process.is_ready else signal.SIGKILL)
            asyncio.get_running_loop().call_later(_HURRY_SECONDS, process.signal, signal.SIGKILL)

    async def _start(self) -> WorkerProcess:
        self._processes = {process for process in self._processes if process.status is None}
        process = await WorkerProcess.start(self._launch, number=self._number)
        self._processes.add(process)
        return process

    async def _until(self, step: Awaitable[None], worker: WorkerProcess) -> None:
        """Wait for a step of the start; a worker that does not reach it is ended."""
        try:
            await step
        except WorkerFailed:
            await worker.end(0.0)
            raise

    async def _refill(self, failures: int) -> int:
        """Start workers until one gets ready; return how many did not last, the dead one too."""
        while True:
            await asyncio.sleep(pause_after(failures))
            failures += 1
            try:
                await self.fill()
            except WorkerFailed as error:
                pause = pause_after(failures)
                logger.error("%s did not start: %s; again in %g s", self._name, error, pause)  # noqa: TRY400 - the reason is the message
                continue
            except OSError as error:
                logger.error("%s could not be started: %s", self._name, error)  # noqa: TRY400 - the same
                continue
            logger.info("%s is ready again (pid %d)", self._name, self._pid)
            return failures

    @property
    def _pid(self) -> int:
        return self._worker.pid if self._worker else 0

    async def _retire(self, worker: WorkerProcess | None) -> None:
        if worker is not None and not await worker.end(self._end_seconds):
            logger.error("%s (pid %d) did not end and was killed", self._name, worker.pid)


def _told(worker: WorkerProcess) -> str:
    status = worker.status
    if status is not None and status < 0:
        return signal.Signals(-status).name
    return f"status {status}"
