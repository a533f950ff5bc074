"""Mint request ids: unique over processes and restarts, and sorted by time."""

import itertools
import secrets
import time


class RequestIds:
    """Hand out ids of 32 hexadecimal characters: milliseconds, a run, a count.

    The run is a random number of the process. An id is minted once per request and never again on
    a retry inside the server, because the ledger counts by it. The time in front keeps neighbours
    together in the ledger's index.
    """

    def __init__(self) -> None:
        self._run = secrets.token_hex(6)
        self._count = itertools.count()

    def mint(self) -> str:
        """Return the next id."""
        return f"{time.time_ns() // 1_000_000:012x}{self._run}{next(self._count) & 0xFFFFFFFF:08x}"
