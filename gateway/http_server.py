"""Run uvicorn so that its end costs nobody an answer (RFC 9112 section 9.6)."""

import asyncio
import socket
from types import FrameType
from typing import Final

import uvicorn
from uvicorn.server import ServerState

_POLL_SECONDS: Final = 0.02


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
        self, config: uvicorn.Config, *, drain_seconds: float, idle_seconds: float
    ) -> None:
        """Build a server that `run` runs.

        Args:
            config: uvicorn's own.
            drain_seconds: how long requests in progress may take at the end.
            idle_seconds: how long idle connections are kept at the end.
        """
        super().__init__(config)
        self.server_state: DrainableState = DrainableState()
        self._drain_seconds = drain_seconds
        self._idle_seconds = min(idle_seconds, drain_seconds)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's own
        """Begin the end; the exit status stays 0, since being told to end is no failure."""
        self.force_exit = self.should_exit
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, let what was accepted finish, then close the services."""
        self.server_state.is_draining = True
        self.lifespan.state["is_draining"] = True
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        began = asyncio.get_running_loop().time()
        for connection in list(self.server_state.connections):
            if not _is_idle(connection):
                connection.shutdown()
        await self._wait_until(began + self._idle_seconds)
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await self._wait_until(began + self._drain_seconds)
        for task in list(self.server_state.tasks):
            task.cancel()
        await self.lifespan.shutdown()

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
