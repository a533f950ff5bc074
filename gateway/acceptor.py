"""Accept connections from a socket that other workers accept from as well, each its share."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from typing import Final, Protocol

from uvicorn.server import ServerState

_SECONDS_FOR_EACH: Final = 0.001
_MAX_PATIENCE_SECONDS: Final = 0.02
_EXHAUSTED_SECONDS: Final = 1.0

logger = logging.getLogger(__name__)


class Share(Protocol):
    """What a worker knows of how busy the others are."""

    def excess(self, count: int) -> int:
        """Say how many connections this one has, and learn how many more that is."""

    def leave(self) -> None:
        """Say that this one takes no more."""


class Undivided:
    """The share of a server that has no other workers."""

    def excess(self, _: int) -> int:
        """Have never more than others."""
        return 0

    def leave(self) -> None:
        """Tell nobody."""


class Acceptor:
    """Take one connection at a time, and wait a moment where others have fewer.

    The wait grows with the difference, up to 20 ms; after it the connection is taken all the same,
    so a worker that hangs holds nobody up.
    """

    def __init__(
        self,
        listener: socket.socket,
        *,
        create_protocol: Callable[[], asyncio.Protocol],
        state: ServerState,
        share: Share,
    ) -> None:
        """Build an acceptor that `start` starts; the listener is closed by `stop`."""
        self._listener = listener
        self._create_protocol = create_protocol
        self._state = state
        self._share = share
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._was_patient = False

    def start(self) -> None:
        """Accept from now on."""
        self._listener.settimeout(0.0)
        self.report()
        self._loop.add_reader(self._listener.fileno(), self._on_waiting)

    def report(self) -> int:
        """Tell the other workers how many connections there are; return the excess."""
        return self._share.excess(len(self._state.connections) + len(self._opening))

    async def stop(self) -> None:
        """Accept no more; what was accepted is a connection when this returns."""
        self._share.leave()
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()
        await asyncio.gather(*self._opening, return_exceptions=True)

    def _on_waiting(self) -> None:
        """Somebody waits in the backlog."""
        excess = 0 if self._was_patient else self.report()
        self._was_patient = False
        if excess > 0:
            self._pause(min(excess * _SECONDS_FOR_EACH, _MAX_PATIENCE_SECONDS))
            return
        try:
            accepted, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another worker was quicker, or the caller has gone
        except OSError as error:
            logger.error("no connection can be accepted: %s", error)  # noqa: TRY400 - the reason is the message
            self._pause(_EXHAUSTED_SECONDS)
            return
        self._open(accepted)

    def _open(self, accepted: socket.socket) -> None:
        accepted.settimeout(0.0)
        opening = self._loop.create_task(self._connect(accepted))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    async def _connect(self, accepted: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the caller has gone
            await self._loop.connect_accepted_socket(self._create_protocol, accepted)

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener.fileno())
        self._timer = self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        self._timer = None
        self._was_patient = True
        self._loop.add_reader(self._listener.fileno(), self._on_waiting)
