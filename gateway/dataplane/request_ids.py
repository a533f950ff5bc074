"""Name requests: take over the proxy's id where there is one to trust, else mint our own.

Our ids are unique over processes and restarts, and sorted by time.
"""

import itertools
import re
import secrets
import time
from collections.abc import Iterable
from typing import Final

_NAME: Final = b"x-request-id"
_WELL_FORMED: Final = re.compile(rb"[0-9a-f]{32}")


class RequestIds:
    """Hand out ids of 32 hexadecimal characters: milliseconds, a run, a count.

    The run is a random number of the process. An id is given once per request and never again on
    a retry inside the server, because the ledger counts by it. The time in front keeps neighbours
    together in the ledger's index.

    Threat: a caller who chose the id could name that of somebody else's request, and the second of
    the two would never be billed. So a header is read only from a trusted proxy. Should that one
    repeat an id, the ledger bills it once, and tells and counts the other as a conflict.
    """

    def __init__(self, *, trusts_proxy: bool = False) -> None:
        self._trusts_proxy = trusts_proxy
        self._run = secrets.token_hex(6)
        self._count = itertools.count()

    def take(self, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """Return the id of a request: the trusted proxy's if it sent exactly one, else the next."""
        if self._trusts_proxy:
            given = [value for name, value in headers if name == _NAME]
            if len(given) == 1 and _WELL_FORMED.fullmatch(given[0]) is not None:
                return given[0].decode("ascii")
        return self.mint()

    def mint(self) -> str:
        """Return the next id of our own."""
        return f"{time.time_ns() // 1_000_000:012x}{self._run}{next(self._count) & 0xFFFFFFFF:08x}"
