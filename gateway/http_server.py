"""Run uvicorn so that its end costs nobody an answer (RFC 9112 section 9.6)."""

import asyncio
import logging
import socket
import sys
from types import FrameType
from typing import Final, Protocol

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.server import ServerState

from gateway.acceptor import Acceptor, Share

_POLL_SECONDS: Final = 0.02

logger = logging.getLogger(__name__)


class Companion(Protocol):
    """What serves beside HTTP in the same process."""

    async def stop(self, seconds: float) -> None:
        """End within a time; a second call may shorten it."""


class DrainableState(ServerState):
    """What the connections of a server share: also that it is ending."""

    def __init__(self) -> None:
        super().__init__()
        self.is_draining = False


class GatewayServer(uvicorn.Server):
    """Drain on the first signal and hurry on the second.

    uvicorn closes idle connections at once, which loses the request that a proxy is just sending on
    one. Here they stay open until the other side closes them, which Nginx does after 5 seconds; a
    request that comes meanwhile is served, and its answer says that the connection ends.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        drain_seconds: float,
        idle_seconds: float,
        share: Share,
        companion: Companion,
    ) -> None:
        """Build a server that `run` runs.

        Args:
            config: uvicorn's own.
            drain_seconds: how long requests in progress may take at the end.
            idle_seconds: how long idle connections are kept at the end.
            share: of the connections that several workers accept.
            companion: what ends together with it.
        """
        super().__init__(config)
        self._share = share
        self._companion = companion
        self._acceptors: list[Acceptor] = []
        self.server_state: DrainableState = DrainableState()
        self._drain_seconds = drain_seconds
        self._idle_seconds = min(idle_seconds, drain_seconds)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's own
        """Begin the end; the exit status stays 0, since being told to end is no failure."""
        self.force_exit = self.should_exit
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the services, then accept."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        self._acceptors = [
            Acceptor(
                listener,
                create_protocol=self._create_protocol,
                state=self.server_state,
                share=self._share,
            )
            for listener in sockets or []
        ]
        for acceptor in self._acceptors:
            acceptor.start()
        self.started = True

    async def on_tick(self, counter: int) -> bool:
        """Tell the other workers of connections that were closed, every tenth of a second."""
        for acceptor in self._acceptors:
            acceptor.report()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 - uvicorn's own
        """Stop accepting, let what was accepted finish, then close the services."""
        self.server_state.is_draining = True
        self.lifespan.state["is_draining"] = True
        for acceptor in self._acceptors:
            await acceptor.stop()
        stopping = asyncio.create_task(self._companion.stop(self._drain_seconds))
        began = asyncio.get_running_loop().time()
        for connection in list(self.server_state.connections):
            if not _is_idle(connection):
                connection.shutdown()
        await self._wait_until(began + self._idle_seconds)
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await self._wait_until(began + self._drain_seconds)
        self._cut()
        await self._end_companion(stopping)
        await self.lifespan.shutdown()

    async def _end_companion(self, stopping: asyncio.Task[None]) -> None:
        """Wait until the companion has drained, or hurry it."""
        while not stopping.done() and not self.force_exit:
            await asyncio.wait((stopping,), timeout=_POLL_SECONDS)
        if not stopping.done():
            await self._companion.stop(0.0)
        await stopping

    def _cut(self) -> None:
        if self.server_state.tasks:
            logger.warning("%d requests took too long and are cut", len(self.server_state.tasks))
        for task in list(self.server_state.tasks):
            task.cancel()

    def _create_protocol(self) -> asyncio.Protocol:
        """Make a connection as uvicorn does."""
        protocol: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
            _loop=asyncio.get_running_loop(),
        )
        return protocol

    async def _wait_until(self, deadline: float) -> None:
        """Wait for the last answer; uvicorn's connections have no event for their end."""
        loop = asyncio.get_running_loop()
        while self._is_at_work():
            if loop.time() >= deadline:
                return
            await asyncio.sleep(_POLL_SECONDS)

    def _is_at_work(self) -> bool:
        state = self.server_state
        return bool(state.connections or state.tasks) and not self.force_exit


def _is_idle(connection: object) -> bool:
    cycle = getattr(connection, "cycle", None)
    return cycle is None or cycle.response_complete
