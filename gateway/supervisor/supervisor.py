"""Run the workers of one server: start, keep, change and end them.

The supervisor holds the listening socket, so that callers wait in its backlog while no worker
accepts. It imports nothing of what a worker imports, and so has next to nothing to go wrong.
"""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence

from gateway.errors import StartRefused
from gateway.observability.board import Board
from gateway.observability.catalogue import CATALOGUE, WORKER_CRASHES, WORKERS_WANTED
from gateway.observability.meter import Meter
from gateway.settings import Settings
from gateway.supervisor.occupancy import Occupancy
from gateway.supervisor.slot import Slot
from gateway.supervisor.worker_process import Launch, WorkerFailed

Announce = Callable[[Sequence[str]], None]

logger = logging.getLogger(__name__)


def supervise(
    settings: Settings,
    listener: socket.socket,
    *,
    environment: Mapping[str, str],
    announce: Announce,
    board: Board | None = None,
) -> None:
    """Serve with `settings.workers` processes until a signal says stop.

    Args:
        settings: of this server.
        listener: bound and listening.
        environment: the same settings for the workers.
        announce: called once with the names of the models, when every worker serves.
        board: where the workers count; None where nobody reads metrics.

    Raises:
        StartRefused: a worker did not get ready at the start; the message is the worker's.
    """
    lifeline, held = os.pipe()
    try:
        launch = Launch(
            listener,
            lifeline,
            Occupancy.create(),
            environment,
            board=-1 if board is None else board.fileno(),
            on_death=_death_counter(board, settings),
        )
        asyncio.run(Supervisor(settings, launch).run(announce))
    finally:
        os.close(lifeline)
        os.close(held)


class Supervisor:
    """Answer signals and the deaths of workers."""

    def __init__(self, settings: Settings, launch: Launch) -> None:
        self._slots = [
            Slot(number, launch, drain_seconds=settings.drain_seconds)
            for number in range(settings.workers)
        ]
        self._stop = asyncio.Event()
        self._restart = asyncio.Event()

    async def run(self, announce: Announce) -> None:
        """Start the workers, and end them when a signal says stop.

        Raises:
            StartRefused: a worker did not get ready.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end_or_hurry)
        loop.add_signal_handler(signal.SIGHUP, self._restart.set)
        serving = asyncio.create_task(self._serve(announce))
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait((serving, stopped), return_when=asyncio.FIRST_COMPLETED)
        serving.cancel()
        stopped.cancel()
        [outcome] = await asyncio.gather(serving, return_exceptions=True)
        await asyncio.gather(*(slot.end() for slot in self._slots))
        if isinstance(outcome, WorkerFailed):
            raise StartRefused(str(outcome))
        if isinstance(outcome, Exception):
            raise outcome

    async def _serve(self, announce: Announce) -> None:
        models, *_ = await asyncio.gather(*(slot.fill() for slot in self._slots))
        announce(models)
        await asyncio.gather(self._restart_on_demand(), *(slot.keep() for slot in self._slots))

    async def _restart_on_demand(self) -> None:
        while True:
            await self._restart.wait()
            self._restart.clear()
            logger.info("rolling restart begins: one worker after the other")
            try:
                for slot in self._slots:
                    await slot.replace()
            except (WorkerFailed, OSError) as error:
                logger.error("rolling restart stops, the other workers stay: %s", error)  # noqa: TRY400 - the reason is the message
            else:
                logger.info("rolling restart is done")

    def _end_or_hurry(self) -> None:
        """End at the first signal; at the next ones, cut what is in progress."""
        if self._stop.is_set():
            for slot in self._slots:
                slot.hurry()
        self._stop.set()


def _death_counter(board: Board | None, settings: Settings) -> Callable[[], None]:
    """Tell how many workers there should be, and return what counts those that died."""
    if board is None:
        return _count_nothing
    meter = Meter(board.claim(), CATALOGUE)
    meter.gauge(WORKERS_WANTED).set(settings.workers)
    return meter.counter(WORKER_CRASHES).add


def _count_nothing() -> None:
    """Stand where nobody reads metrics."""
