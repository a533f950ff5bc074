"""End a connection whose client does not take what was written for it."""

import asyncio
from typing import Final

STALL_SECONDS: Final = 60.0
LEAST_BYTES: Final = 16 * 1024
"""What a client has to take in that time, unless it takes all."""


class StalledWrites:
    """Watch what waits to be sent, while somebody says that something does.

    Threat: who asks and does not read holds a descriptor and the memory of the answers. To close
    such a connection is of no use, as the system first sends what waits.
    """

    __slots__ = ("_loop", "_timer", "_transport", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport) -> None:
        self._loop = loop
        self._transport = transport
        self._waiting = 0
        self._timer: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """Cut the connection unless what waits gets less, until all is sent or nobody watches."""
        if self._timer is not None:
            return
        self._waiting = self._transport.get_write_buffer_size()
        if self._waiting:
            self._timer = self._loop.call_later(STALL_SECONDS, self._check)

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        self._timer = None
        if self._transport.get_write_buffer_size() > max(self._waiting - LEAST_BYTES, 0):
            self._transport.abort()
        else:
            self.watch()
