"""A load over TLS that outlives every kill: clients connect again, repeat with a key, log all."""

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.certificates import NAME
from tests.edge import HERE
from tests.fronted import Front
from tests.load import Caller, Reply, read_reply

LANES = 8
EVERY_NTH_INSISTS = 4
"""One request in so many has an Idempotency-Key and is repeated until it is answered."""

_PAUSE_SECONDS = 0.02
_ANSWER_SECONDS = 30.0
UNKNOWN = 502
"""Nginx's word for a worker that died on it: nobody knows whether the request is on the bill. Also
for one that is not there: its log tells them apart, by whether there was a connection."""


@dataclass(frozen=True)
class Seen:
    """What a client was told of a request that was answered with 200."""

    tenant_id: str
    key_id: str
    rows: int


@dataclass
class KillLog:
    """What all clients saw, by request id as it should be billed."""

    served: dict[str, Seen] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    broken: int = 0
    """Attempts that were lost with a worker, before there was an answer of its, or found none."""

    lost: int = 0
    """Of these, those that nobody repeated: whether they are on the bill, their clients never hear.
    """

    replays: int = 0
    billed_twice: list[str] = field(default_factory=list)
    """Keys whose retries were told different requests, or a 200 whose id stood for another."""


class KillLoad:
    """Clients that ask until they are told to stop."""

    def __init__(self, front: Front, callers: list[Caller]) -> None:
        self._nginx = front.nginx
        self._example: dict[str, Any] = front.stack.demo["example"]["instances"][0]
        self._context = front.nginx.certificates.context()
        self._callers = callers
        self._numbers = iter(range(1_000_000_000))
        self._is_over = asyncio.Event()
        self.log = KillLog()

    async def run(self) -> None:
        """Ask over all lanes until `stop`."""
        self._is_over.clear()
        await asyncio.gather(*(self._lane() for _ in range(LANES)))

    def stop(self) -> None:
        """Let every lane finish its request and end."""
        self._is_over.set()

    async def _lane(self) -> None:
        while not self._is_over.is_set():
            number = next(self._numbers)
            insists = number % EVERY_NTH_INSISTS == 0
            is_settled = await self._ask(number, insists=insists)
            while insists and not is_settled:
                await asyncio.sleep(_PAUSE_SECONDS)
                is_settled = await self._ask(number, insists=True)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _ask(self, number: int, *, insists: bool) -> bool:
        """Send a request on a connection of its own; say whether its outcome is known."""
        caller, rows = self._callers[number % len(self._callers)], 1 + number % 3
        try:
            reader, writer = await asyncio.open_connection(
                HERE, self._nginx.tls_port, ssl=self._context, server_hostname=NAME
            )
        except OSError:
            return False
        try:
            writer.write(self._request(number, caller, rows=rows, insists=insists))
            async with asyncio.timeout(_ANSWER_SECONDS):
                reply = await read_reply(reader)
        except (OSError, asyncio.IncompleteReadError):
            self.log.broken += 1
            self.log.lost += not insists
            return False
        finally:
            writer.close()
        if reply.status == UNKNOWN:
            self.log.broken += 1
            self.log.lost += not insists
            return False
        return self._note(reply, Seen(caller.tenant_id, caller.key_id, rows))

    def _note(self, reply: Reply, seen: Seen) -> bool:
        log = self.log
        log.statuses[reply.status] += 1
        original = reply.headers.get("tollgate-original-request-id")
        if reply.status != 200:
            log.refused[reply.headers["x-request-id"]] = reply.status
            return False
        log.replays += original is not None
        name = original or reply.headers["x-request-id"]
        if name in log.served:
            log.billed_twice.append(name)
        log.served[name] = seen
        return True

    def _request(self, number: int, caller: Caller, *, rows: int, insists: bool) -> bytes:
        example = self._example
        body = json.dumps({"instances": [example | {"lotsize": 1000 + number % 9000}] * rows})
        key = f"Idempotency-Key: order-{number}\r\n" if insists else ""
        head = (
            f"POST /v1/models/housing:predict HTTP/1.1\r\nHost: {NAME}\r\n"
            f"Authorization: Bearer {caller.api_key}\r\n{key}Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body.encode()
