"""Clients of predictions in a process of their own: `python -m tests.client_process` with an order.

The order comes as JSON on standard input, the log of all answers goes as JSON to standard output.
"""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Self

from tests.load import Caller, prediction_request, read_reply
from tests.serving import ROOT


@dataclass
class Attempts:
    """What clients were told, by API key; `waits` in seconds."""

    served: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    unanswered: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)

    @property
    def answers(self) -> int:
        """Count the answers."""
        return self.statuses.total()

    def note(self, caller: Caller, status: int, wait: float) -> None:
        """Write one answer down."""
        self.statuses[status] += 1
        self.waits.append(wait)
        if status == 200:
            self.served[caller.key_id] += 1
        elif status == 429:
            self.refused[caller.key_id] += 1

    def add(self, other: Self) -> None:
        """Take over what other clients were told."""
        for name in ("served", "refused", "unanswered", "statuses"):
            getattr(self, name).update(getattr(other, name))
        self.waits.extend(other.waits)

    def wait_at(self, share: float) -> float:
        """Return the wait in milliseconds that this share of the answers did not exceed."""
        return 1000 * sorted(self.waits)[int(share * (len(self.waits) - 1))]


async def attempt_all(
    port: int,
    callers: Sequence[Caller],
    example: dict[str, object],
    *,
    attempts: int,
    connections: int,
    log: Attempts,
) -> None:
    """Send one-row predictions, rotating over the callers; a connection that breaks is renewed."""
    numbers = iter(range(attempts))

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            caller, asked = callers[number % len(callers)], perf_counter()
            try:
                writer.write(prediction_request(caller, example))
                log.note(caller, (await read_reply(reader)).status, perf_counter() - asked)
            except (OSError, asyncio.IncompleteReadError):
                log.unanswered[caller.key_id] += 1
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()

    await asyncio.gather(*(connection() for _ in range(connections)))


def start_clients(order: dict[str, Any]) -> "subprocess.Popen[str]":
    """Start a process that carries an order out; see `main` for its members."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.client_process"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(order))
    process.stdin.close()
    return process


def read_clients(process: "subprocess.Popen[str]") -> Attempts:
    """Wait for a process and return its log."""
    assert process.stdout is not None
    told = json.loads(process.stdout.read())
    process.stdout.close()
    assert process.wait() == 0
    waits = told.pop("waits")
    counts = {name: Counter(counted) for name, counted in told.items()}
    counts["statuses"] = Counter({int(status): n for status, n in counts["statuses"].items()})
    return Attempts(**counts, waits=waits)


def main() -> None:
    """Carry out the order on standard input."""
    order = json.load(sys.stdin)
    callers = [Caller(*caller) for caller in order.pop("callers")]
    log = Attempts()
    port, example = order.pop("port"), order.pop("example")
    asyncio.run(attempt_all(port, callers, example, log=log, **order))
    json.dump(vars(log), sys.stdout)


if __name__ == "__main__":
    main()
