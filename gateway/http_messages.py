"""Write what a connection writes itself: refusals, heads anew, and the end of its last answer."""

import asyncio
from collections.abc import Callable
from typing import Final

from gateway.dataplane.connection import Headers
from gateway.problems import Problem, problem_headers

_REASONS: Final = {400: b"Bad Request", 431: b"Request Header Fields Too Large"}


def refusal(problem: Problem, request_id: str) -> bytes:
    """Write the answer to bytes that are no request."""
    body = problem.body(request_id)
    headers = [*problem_headers(problem, request_id, body), (b"connection", b"close")]
    lines = [b"HTTP/1.1 %d %s" % (problem.status, _REASONS[problem.status])]
    lines += [b"%s: %s" % header for header in headers]
    return b"\r\n".join([*lines, b"", body])


def without_upgrade(method: bytes, target: bytes, *, version: str, headers: Headers) -> bytes:
    """Write the head of a request anew that asks for no other protocol; its parts were parsed."""
    lines = [b"%b %b HTTP/%b" % (method, target, version.encode())]
    lines += [b"%b: %b" % header for header in headers if header[0] != b"upgrade"]
    return b"\r\n".join([*lines, b"", b""])


class LastTransport:
    """What the last request of a connection writes to: behind the answer it is left, not closed."""

    __slots__ = ("_leave", "_transport")

    def __init__(self, transport: asyncio.Transport, leave: Callable[[], None]) -> None:
        self._transport = transport
        self._leave = leave

    def write(self, data: bytes) -> None:
        """Send on."""
        self._transport.write(data)

    def is_closing(self) -> bool:
        """Say whether nothing can be sent any more."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Leave."""
        self._leave()
