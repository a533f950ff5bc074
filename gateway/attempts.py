"""Count attempts by address in windows of time, in bounded memory and on a clock that never jumps.

The windows are of this process alone: several workers allow as many times the limit as they are.
"""

import logging
import math
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from auth.errors import CredentialError
from gateway.addresses import UNKNOWN, address_of
from gateway.errors import AddressLimited, ClientLimited

MAX_KEYS: Final = 10_000
WINDOW_SECONDS: Final = 60.0
MAX_KEY_CHARACTERS: Final = 64
"""Of a key that a stranger chooses, which is remembered for a window."""

logger = logging.getLogger(__name__)


class Tally(NamedTuple):
    """What a window has counted, and the seconds until it is forgotten."""

    events: int
    seconds_left: float


@dataclass(slots=True)
class _Window:
    ends_at: float
    count: int = 0


class AttemptWindows:
    """Count events per key, from the first event of a key for as long as a window lasts.

    `now` gives monotonic seconds. While `max_keys` windows are open, keys that have none share one.

    Threat: a table that forgets its oldest entry to make room gives everybody who has many
    addresses endless attempts; one that grows gives them our memory.
    """

    def __init__(
        self,
        *,
        now: Callable[[], float],
        window_seconds: float = WINDOW_SECONDS,
        max_keys: int = MAX_KEYS,
    ) -> None:
        self._now = now
        self._window_seconds = window_seconds
        self._max_keys = max_keys
        self._windows: dict[str, _Window] = {}

    def __len__(self) -> int:
        """Say how many windows are remembered."""
        return len(self._windows)

    def add(self, key: str, amount: int = 1) -> Tally:
        """Count an event and return the window that it fell into."""
        now = self._now()
        key = self._place_of(key, now)
        window = self._windows.setdefault(key, _Window(now + self._window_seconds))
        window.count += amount
        return Tally(window.count, window.ends_at - now)

    def read(self, key: str) -> Tally:
        """Return the window that an event would fall into, and count nothing."""
        now = self._now()
        window = self._windows.get(self._place_of(key, now))
        return Tally(0, 0.0) if window is None else Tally(window.count, window.ends_at - now)

    def clear(self) -> None:
        """Forget everything."""
        self._windows.clear()

    def _place_of(self, key: str, now: float) -> str:
        """Say under which key an event is counted, once windows that are over are dropped.

        All windows last equally long and a dictionary keeps its order, so the oldest end first.
        """
        while self._windows and self._windows[oldest := next(iter(self._windows))].ends_at <= now:
            del self._windows[oldest]
        is_full = len(self._windows) >= self._max_keys
        return UNKNOWN if is_full and key not in self._windows else key


class FailedAttempts:
    """Bound how often one address may fail to authenticate, on every door together.

    It is asked only after an authentication has failed: a good credential is served whatever else
    came from its address, and pays nothing for this.

    Threat: without it a guesser is answered as fast as it can ask. With a check before the
    authentication, a guesser behind a customer's proxy would shut the customer out.
    """

    def __init__(self, limit: int, windows: AttemptWindows, *, trusts_proxy: bool) -> None:
        self._limit = limit
        self._windows = windows
        self._trusts_proxy = trusts_proxy

    def judge(self, scope: MutableMapping[str, Any], error: Exception) -> Exception:
        """Count a refused credential and return the error to answer with.

        What is no failed authentication is returned as it came. No credential, garbage, and an
        unknown, wrong, expired or revoked key count alike, so that no answer tells them apart.
        """
        if not isinstance(error, CredentialError):
            return error
        address = address_of(scope, trusts_proxy=self._trusts_proxy)
        tally = self._windows.add(address)
        if tally.events <= self._limit:
            return error
        if tally.events == self._limit + 1:
            logger.warning("%s failed to authenticate %d times in a minute", address, tally.events)
        return AddressLimited(math.ceil(tally.seconds_left))


class ClientAttempts:
    """Bound how often anybody may fail in the name of one OAuth2 client.

    Asked only after a failure: the rightful client is served whatever others try in its name.
    An id that is none of ours counts like one of ours, so nothing tells them apart.

    Threat: a guesser with many addresses would be answered as fast as it can ask.
    """

    def __init__(self, limit: int, windows: AttemptWindows) -> None:
        self._limit = limit
        self._windows = windows

    def judge(self, client_id: str, error: Exception) -> Exception:
        """Count a failure and return the error to answer with."""
        tally = self._windows.add(client_id[:MAX_KEY_CHARACTERS])
        if tally.events <= self._limit:
            return error
        if tally.events == self._limit + 1:
            logger.warning("one client failed to authenticate %d times in a minute", tally.events)
        return ClientLimited(math.ceil(tally.seconds_left))
