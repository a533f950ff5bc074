"""Read from a connection: heads in pieces for the parser, large bodies to where they are used.

uvloop, httptools and uvicorn copy each piece of a body four times before an app sees it, and the
app once more to put the pieces together: for an image that is a third of all that a request costs.
"""

import asyncio
import threading
from typing import Final, Protocol

_PIECE_BYTES: Final = 64 * 1024


class _Pieces(threading.local):
    """Where all connections of a thread read in turn.

    Threat: a loop lets go of the interpreter while it reads, and another thread that read to the
    same place would put one caller's bytes into another one's request.
    """

    def __init__(self) -> None:
        self.place = memoryview(bytearray(_PIECE_BYTES))


_PIECES: Final = _Pieces()


class Reader(Protocol):
    """What an intake needs of the protocol of its connection, besides what `asyncio` does."""

    def data_received(self, data: memoryview, /) -> None:
        """Parse a piece; it is only there for the length of the call."""

    def body_received(self) -> None:
        """Expect the next head: all is here, and what comes next may be here already."""

    def connection_lost(self, exc: Exception | None, /) -> None:
        """Hear that nothing comes any more."""

    def pause_writing(self) -> None:
        """Write no more for now."""

    def resume_writing(self) -> None:
        """Write on."""


class Intake(asyncio.BufferedProtocol):
    """Stand between a transport and the protocol of its connection; made in the loop's thread.

    Cost: two calls of ours for each read, and for the rest of a large body no copy.
    """

    __slots__ = ("_arrival", "_missing", "_piece", "_place", "_reader")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._piece = _PIECES.place
        self._place: memoryview | None = None
        self._missing = 0
        self._arrival: asyncio.Future[bool] | None = None

    async def fill(self, place: memoryview) -> bool:
        """Fill a place with what comes next, and not one byte more; the parser sees none of it.

        False where the connection was lost before. Who is cancelled has to `read_past` the rest.
        """
        self._place, self._missing = place, len(place)
        self._arrival = asyncio.get_running_loop().create_future()
        return await self._arrival

    def read_past(self) -> None:
        """Let go of a place; what is still to come for it goes nowhere."""
        self._place = self._arrival = None

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Name the place for what comes next."""
        missing = self._missing
        if not missing:
            return self._piece
        return self._piece[:missing] if self._place is None else self._place[-missing:]

    def buffer_updated(self, nbytes: int) -> None:
        """Take what came."""
        if not self._missing:
            self._reader.data_received(self._piece[:nbytes])
            return
        self._missing -= nbytes
        if not self._missing:
            self._reader.body_received()
            self._end(is_full=True)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the protocol, and then whoever waits for a body."""
        self._reader.connection_lost(exc)
        self._end(is_full=False)

    def pause_writing(self) -> None:
        """Pass it on."""
        self._reader.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self._reader.resume_writing()

    def _end(self, *, is_full: bool) -> None:
        arrival, self._arrival, self._place = self._arrival, None, None
        if arrival is not None and not arrival.done():
            arrival.set_result(is_full)
