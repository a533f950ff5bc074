"""A load of predictions whose client keeps its own log of every answer."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Address = int | Path | Callable[[], Awaitable[Streams]]
"""Where a load connects: a port of loopback, a unix socket, or a way of its own, as over TLS."""


@dataclass(frozen=True)
class Caller:
    """Who calls, as the ledger should name them."""

    tenant_id: str
    key_id: str
    api_key: str


@dataclass(frozen=True)
class Served:
    """One answer with status 200, read to its last byte."""

    request_id: str
    caller: Caller
    rows: int


@dataclass
class ClientLog:
    """What the clients saw; `in_flight` counts requests that were sent and never answered."""

    served: list[Served] = field(default_factory=list)
    refused: Counter[int] = field(default_factory=Counter)
    in_flight: int = 0
    unconnected: int = 0
    """Connections that the server did not take."""

    @property
    def served_ids(self) -> list[str]:
        """List the request ids that were answered, sorted."""
        return sorted(served.request_id for served in self.served)

    @property
    def failures(self) -> dict[str, int]:
        """Count everything that a client would call a failed request; empty when there is none."""
        counted = {f"status {status}": count for status, count in self.refused.items()}
        counted |= {"no answer": self.in_flight, "not connected": self.unconnected}
        return {what: count for what, count in counted.items() if count}


@dataclass(frozen=True)
class Reply:
    """One HTTP answer as the load's own connections read it."""

    status: int
    headers: dict[str, str]
    body: bytes


class Pace:
    """Hand out numbers of requests, as fast as they are taken or so many in a second."""

    def __init__(self, requests: int, *, per_second: float | None = None) -> None:
        self._numbers = iter(range(requests))
        self._per_second = per_second
        self._began = 0.0
        self._is_over = False

    def stop(self) -> None:
        """Hand out no more."""
        self._is_over = True

    async def next(self) -> int | None:
        """Wait until the next request is due and return its number; None when there is no more."""
        number = None if self._is_over else next(self._numbers, None)
        if number is None or self._per_second is None:
            return number
        loop = asyncio.get_running_loop()
        self._began = self._began or loop.time()
        await asyncio.sleep(max(0.0, self._began + number / self._per_second - loop.time()))
        return number


def prediction_request(caller: Caller, example: dict[str, object], *, rows: int = 1) -> bytes:
    """Write the bytes of one prediction request."""
    instances = example["instances"]
    assert isinstance(instances, list)
    body = json.dumps({"instances": instances[:1] * rows}).encode()
    head = (
        "POST /v1/models/housing:predict HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {caller.api_key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def open_streams(address: Address) -> Streams:
    """Open a connection."""
    if isinstance(address, int):
        return await asyncio.open_connection("127.0.0.1", address)
    if isinstance(address, Path):
        return await asyncio.open_unix_connection(address)
    return await address()


async def read_reply(reader: asyncio.StreamReader) -> Reply:
    """Read one answer to its last byte."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in head[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers["content-length"]))
    return Reply(int(head[0].split(" ")[1]), headers, body)


async def run_load(
    address: Address,
    callers: Sequence[Caller],
    example: dict[str, object],
    *,
    connections: int,
    requests: int = 0,
    pace: Pace | None = None,
    log: ClientLog | None = None,
    survives: bool = False,
) -> ClientLog:
    """Send predictions over `connections`, rotating over the callers; bounded by count.

    A connection that the server says it closes is opened again, as every client does. One that
    breaks ends; the log then holds what it had been answered. With `survives`, it is opened again
    too, and only a server that takes no connections ends it.
    """
    pace, log = pace or Pace(requests), log if log is not None else ClientLog()
    turns = _Turns(callers, example, pace)

    async def lane() -> None:
        while True:
            try:
                streams = await open_streams(address)
            except OSError:
                log.unconnected += 1
                return
            end = await _use(streams, turns, log)
            if end is _End.OVER or (end is _End.BROKEN and not survives):
                return

    await asyncio.gather(*(lane() for _ in range(connections)))
    return log


class _End(Enum):
    """Why a connection is used no more."""

    OVER = "there are no more requests"
    CLOSED = "the server said so"
    BROKEN = "it broke"


class _Turns:
    """The requests of a load, in the order in which its connections take them."""

    def __init__(self, callers: Sequence[Caller], example: dict[str, object], pace: Pace) -> None:
        self._pace = pace
        self._kinds = [
            (Served("", caller, rows), prediction_request(caller, example, rows=rows))
            for caller in callers
            for rows in (1, 2, 3)
        ]

    async def next(self) -> tuple[Served, bytes] | None:
        """Wait for the next turn; None when the load is over."""
        number = await self._pace.next()
        return None if number is None else self._kinds[number % len(self._kinds)]


async def _use(streams: Streams, turns: _Turns, log: ClientLog) -> _End:
    """Send one request after the other over a connection, for as long as it can be used."""
    reader, writer = streams
    try:
        while (turn := await turns.next()) is not None:
            sent, request = turn
            log.in_flight += 1
            writer.write(request)
            reply = await read_reply(reader)
            log.in_flight -= 1
            _note(log, reply, sent)
            if reply.headers.get("connection") == "close":
                return _End.CLOSED
    except (OSError, asyncio.IncompleteReadError):
        return _End.BROKEN
    finally:
        writer.close()
    return _End.OVER


def _note(log: ClientLog, reply: Reply, sent: Served) -> None:
    if reply.status == 200:
        log.served.append(Served(reply.headers["x-request-id"], sent.caller, sent.rows))
    else:
        log.refused[reply.status] += 1
