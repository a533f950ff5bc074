"""Read from `X-Request-Timeout` how long a client waits for its answer."""

import re
from collections.abc import Iterable
from typing import Final

from gateway.errors import RequestInvalid

_TIMEOUT: Final = re.compile(rb"([0-9]{1,9}(?:\.[0-9]{1,9})?)(s|ms|us)?")
_SECONDS: Final = {None: 1.0, b"s": 1.0, b"ms": 1e-3, b"us": 1e-6}


def read_timeout(headers: Iterable[tuple[bytes, bytes]], most_seconds: float) -> float:
    """Return the client's patience in seconds, and never more than the server's own.

    A number is seconds; `s`, `ms` or `us` may follow it. A bare `m` is refused, since it is minutes
    for some and milliseconds for others.

    Raises:
        RequestInvalid: it is no such time, zero, or there are two.
    """
    seconds = None
    for name, value in headers:
        if name != b"x-request-timeout":
            continue
        match = _TIMEOUT.fullmatch(value.strip())
        if match is None or seconds is not None:
            raise RequestInvalid("X-Request-Timeout is one number, of seconds or with s, ms or us")
        seconds = float(match[1]) * _SECONDS[match[2]]
        if not seconds:
            raise RequestInvalid("X-Request-Timeout must be more than zero")
    return most_seconds if seconds is None else min(seconds, most_seconds)
