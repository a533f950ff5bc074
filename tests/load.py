"""A load of predictions whose client keeps its own log of every answer."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


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


@dataclass(frozen=True)
class Reply:
    """One HTTP answer as the load's own connections read it."""

    status: int
    headers: dict[str, str]
    body: bytes


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


async def read_reply(reader: asyncio.StreamReader) -> Reply:
    """Read one answer to its last byte."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in head[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers["content-length"]))
    return Reply(int(head[0].split(" ")[1]), headers, body)


async def run_load(
    port: int,
    callers: Sequence[Caller],
    example: dict[str, object],
    *,
    requests: int,
    connections: int,
    log: ClientLog | None = None,
) -> ClientLog:
    """Send `requests` predictions over `connections`, rotating over the callers; bounded by count.

    A connection that breaks ends; the log then holds what it had been answered.
    """
    log = log if log is not None else ClientLog()
    numbers = iter(range(requests))

    async def connection() -> None:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return
        try:
            for number in numbers:
                caller, rows = callers[number % len(callers)], 1 + number % 3
                log.in_flight += 1
                writer.write(prediction_request(caller, example, rows=rows))
                _note(log, await read_reply(reader), Served("", caller, rows))
                log.in_flight -= 1
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    await asyncio.gather(*(connection() for _ in range(connections)))
    return log


def _note(log: ClientLog, reply: Reply, sent: Served) -> None:
    if reply.status == 200:
        log.served.append(Served(reply.headers["x-request-id"], sent.caller, sent.rows))
    else:
        log.refused[reply.status] += 1
