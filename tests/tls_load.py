"""A load of predictions over TLS, by clients that behave as HTTP libraries do.

They notice a connection that was closed while nothing was asked, and open another. Some also send
a request again when a connection that they had used before ends without a byte of its answer, as
curl, browsers and Go's library do (RFC 9112, section 9.3.1).
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.certificates import NAME
from tests.edge import HERE
from tests.load import Caller, Reply, prediction_request, read_reply
from tests.nginx_server import NginxServer

CONNECTIONS = 16
IsOver = Callable[[], bool]


@dataclass(frozen=True)
class Manners:
    """What a client does with a connection."""

    keeps: bool = True
    retries: bool = False


@dataclass
class TlsLog:
    """What the clients saw: ids of the served, statuses of the refused, what was never answered."""

    served: list[str] = field(default_factory=list)
    refused: Counter[int] = field(default_factory=Counter)
    unanswered: list[str] = field(default_factory=list)
    retried: int = 0
    connections: int = 0

    def note(self, status: int, request_id: str) -> None:
        """Write an answer down."""
        if status == 200:
            self.served.append(request_id)
        else:
            self.refused[status] += 1


@dataclass
class Connection:
    """One place in the load, whose connection is opened anew when it has ended."""

    nginx: NginxServer
    log: TlsLog
    answers: int = 0
    _streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def make_ready(self) -> None:
        """Open it, unless it is open still."""
        if self._streams is not None and not self._streams[0].at_eof():
            return
        await self.close()
        self.log.connections += 1
        self._streams = await asyncio.open_connection(
            HERE, self.nginx.tls_port, ssl=self.nginx.certificates.context(), server_hostname=NAME
        )

    async def exchange(self, request: bytes) -> Reply:
        """Send one request and read its answer."""
        assert self._streams is not None
        self._streams[1].write(request)
        reply = await read_reply(self._streams[0])
        self.answers += 1
        return reply

    async def close(self) -> None:
        """End it, whether the other side has or not."""
        if self._streams is not None:
            self._streams[1].close()
            with contextlib.suppress(OSError):
                await self._streams[1].wait_closed()
        self._streams, self.answers = None, 0


@dataclass(frozen=True)
class TlsLoad:
    """Who asks for what, at which nginx."""

    nginx: NginxServer
    callers: Sequence[Caller]
    example: dict[str, object]

    async def run(self, is_over: IsOver, *, manners: Manners) -> TlsLog:
        """Ask on all connections until it is over."""
        log = TlsLog()
        callers = (self.callers[n % len(self.callers)] for n in range(CONNECTIONS))
        await asyncio.gather(
            *(self._ask(log, caller, is_over, manners=manners) for caller in callers)
        )
        return log

    async def _ask(self, log: TlsLog, caller: Caller, is_over: IsOver, *, manners: Manners) -> None:
        request = prediction_request(caller, self.example)
        connection = Connection(self.nginx, log)
        while not is_over():
            await connection.make_ready()
            try:
                reply = await connection.exchange(request)
            except (OSError, asyncio.IncompleteReadError) as error:
                if manners.retries and connection.answers and _is_silent(error):
                    log.retried += 1
                else:
                    log.unanswered.append(repr(error))
                await connection.close()
                continue
            log.note(reply.status, reply.headers["x-request-id"])
            if not manners.keeps or reply.headers.get("connection") == "close":
                await connection.close()
        await connection.close()


def _is_silent(error: Exception) -> bool:
    return not (isinstance(error, asyncio.IncompleteReadError) and error.partial)
