"""Guard the operations that ask for no credential: so many requests of one address in a minute.

slowapi decides, over a storage of our own in memory. It is never on the prediction path and never
given Redis, because its Redis calls block the event loop; its middleware is not used.
"""

import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from limits.storage import Storage
from slowapi import Limiter
from slowapi.errors import RateLimitExceeded
from starlette.requests import Request

from gateway.addresses import address_of
from gateway.attempts import AttemptWindows
from gateway.errors import AddressLimited

STORAGE_SCHEME: Final = "tollgate-memory"
_SCOPE: Final = "public"  # one window for all pages together, however many paths there are

Guard = Callable[[Request], Awaitable[None]]
_Value = TypeVar("_Value")


class WindowStorage(Storage):
    """Keep the counts of `limits` in `AttemptWindows`; every limit must be one per minute.

    Threat: the storage that comes with `limits` grows with every address, starts a thread that
    walks all of them after each request, and stays full for an hour when the clock is set back.
    """

    STORAGE_SCHEME = [STORAGE_SCHEME]  # noqa: RUF012 - declared so by the base class

    def __init__(self, uri: str | None = None, *, windows: AttemptWindows, **_: object) -> None:
        super().__init__(uri)
        self._windows = windows

    @property
    def base_exceptions(self) -> type[Exception]:
        """Name the errors of the storage; memory has none of its own."""
        return MemoryError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:  # noqa: ARG002 - the interface
        """Count a request."""
        return self._windows.add(key, amount).events

    def get(self, key: str) -> int:
        """Read a count."""
        return self._windows.read(key).events

    def get_expiry(self, key: str) -> float:
        """Say at which time of the wall clock a count will be forgotten."""
        return time.time() + self._windows.read(key).seconds_left

    def check(self) -> bool:
        """Say that memory is there."""
        return True

    def reset(self) -> None:
        """Forget all counts."""
        self._windows.clear()

    def clear(self, key: str) -> None:
        """Give one count back."""
        self._windows.add(key, -self._windows.read(key).events)


class _Limiter(Limiter):
    """A limiter that is as it was made.

    Threat: slowapi reads RATELIMIT_ENABLED and RATELIMIT_STORAGE_URL from the environment and from
    an `.env` in the working folder, either of which could turn it off or point it to Redis.
    """

    def get_app_config(self, _key: str, default_value: _Value = None) -> _Value:  # type: ignore[assignment]
        """Take the default, whatever the environment says."""
        return default_value


def create_guard(limit: int, windows: AttemptWindows, *, trusts_proxy: bool) -> Guard:
    """Make the dependency of public routes that lets `limit` requests a minute of an address pass.

    The liveness and readiness probes go without it: whoever shares an address with a probe could
    have the server restarted.
    """

    def key_of(request: Request) -> str:
        return address_of(request.scope, trusts_proxy=trusts_proxy)

    limiter = _Limiter(
        key_func=key_of,
        storage_uri=f"{STORAGE_SCHEME}://",
        storage_options={"windows": windows},  # type: ignore[dict-item] # passed on as it is
    )

    @limiter.shared_limit(f"{limit}/minute", scope=_SCOPE)
    async def count(request: Request) -> None:
        """Pass; slowapi finds the request by the name of the parameter."""

    async def guard(request: Request) -> None:
        try:
            await count(request)
        except RateLimitExceeded:
            raise AddressLimited(_seconds_left(limiter, request)) from None

    return guard


def _seconds_left(limiter: Limiter, request: Request) -> int:
    window: tuple[Any, list[str]] = request.state.view_rate_limit
    item, keys = window
    reset_at = limiter.limiter.get_window_stats(item, *keys).reset_time
    return max(1, math.ceil(reset_at - time.time()))
