"""Somebody who guesses passwords, as fast as the server answers."""

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.load import Address, open_streams, read_reply

CONNECTIONS = 16


@dataclass
class Guesses:
    """What came of the guesses: answers by status, and how long it took."""

    statuses: Counter[int] = field(default_factory=Counter)
    began: float = field(default_factory=time.monotonic)

    @property
    def looked_at(self) -> int:
        """Count those that were verified; the others were refused unseen."""
        return self.statuses[401] + self.statuses[201]

    @property
    def windows(self) -> int:
        """Count the minutes, begun ones included."""
        return 1 + int((time.monotonic() - self.began) // 60)


def log_in_request(username: str, password: str, *, address: str = "", device: str = "") -> bytes:
    """Write a log-in as it goes over the wire; `address` is what the proxy says it is."""
    document = {"username": username, "password": password}
    body = json.dumps(document | ({"device_token": device} if device else {})).encode()
    forwarded = f"X-Forwarded-For: {address}\r\n" if address else ""
    head = (
        f"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\n{forwarded}"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def addresses_of(count: int, *, network: str) -> list[str]:
    """List so many addresses that begin with the two bytes of `network`."""
    return [f"{network}.{number // 250}.{number % 250 + 1}" for number in range(count)]


async def guess(
    server: Address,
    *,
    usernames: Sequence[str],
    addresses: Sequence[str],
    attempts: int,
    guesses: Guesses | None = None,
) -> Guesses:
    """Try wrong passwords for some accounts from some addresses, in turn."""
    guesses = guesses or Guesses()
    numbers = iter(range(attempts))

    async def lane() -> None:
        reader, writer = await open_streams(server)
        for number in numbers:
            username = usernames[number % len(usernames)]
            address = addresses[number % len(addresses)]
            writer.write(log_in_request(username, f"guess number {number}", address=address))
            guesses.statuses[(await read_reply(reader)).status] += 1
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    await asyncio.gather(*(lane() for _ in range(CONNECTIONS)))
    return guesses
