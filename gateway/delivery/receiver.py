"""Hand parcels over HTTP, and understand what the receiver says of them."""

import asyncio
import http.client
import ssl
from enum import Enum
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from pydantic import SecretStr

from gateway.delivery.parcels import Parcel

_MOST_BYTES: Final = 65_536
_LONGEST_WAIT_SECONDS: Final = 60.0
_OK: Final = 200
_REDIRECT: Final = 300
_REFUSED: Final = frozenset((400, 413, 422))
"""What a receiver says of a parcel that it will never take. Everything else may be its own state,
or how it is set up here: that is tried again, and nothing is put aside for it."""

_ALREADY: Final = b"already exists with identifier"
"""Stripe refuses with 400 what it has. Of several records that says nothing about the others."""


class Verdict(Enum):
    """What became of a parcel."""

    TAKEN = "taken"
    REFUSED = "refused"
    AGAIN = "again"


class Reply(NamedTuple):
    """What the receiver said; `reason` holds nothing that was sent."""

    verdict: Verdict
    reason: str
    wait_seconds: float = 0.0
    """What it asked for."""


class Receiver:
    """One connection, kept open and opened anew where that fails.

    Redirects are not followed. Threat: they would take the token elsewhere.
    """

    def __init__(self, token: SecretStr | None, *, timeout_seconds: float) -> None:
        """Prepare to send with a bearer token."""
        self._token = token
        self._timeout_seconds = timeout_seconds
        self._connection: http.client.HTTPConnection | None = None

    async def hand_over(self, parcel: Parcel) -> Reply:
        """Send a parcel and return what became of it; no answer is one as well."""
        return await asyncio.to_thread(self._send, parcel)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _send(self, parcel: Parcel) -> Reply:
        try:
            response = self._ask(parcel)
            body = response.read(_MOST_BYTES)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            return Reply(Verdict.AGAIN, f"no answer: {type(error).__name__}")
        if not response.isclosed() or response.will_close:
            self.close()
        is_single = len(parcel.records) == 1
        told = body if is_single else b""
        return judge(response.status, told, response.getheader("Retry-After"))

    def _ask(self, parcel: Parcel) -> http.client.HTTPResponse:
        headers = dict(parcel.headers)
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token.get_secret_value()}"
        if self._connection is None:
            self._connection = self._connect(parcel.url)
        path = urlsplit(parcel.url).path or "/"
        self._connection.request("POST", path, parcel.body, headers)
        return self._connection.getresponse()

    def _connect(self, url: str) -> http.client.HTTPConnection:
        parts = urlsplit(url)
        host, timeout = str(parts.hostname), self._timeout_seconds
        if parts.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, parts.port, timeout=timeout, context=context)
        return http.client.HTTPConnection(host, parts.port, timeout=timeout)


def judge(status: int, body: bytes, retry_after: str | None) -> Reply:
    """Understand an answer."""
    if _OK <= status < _REDIRECT:
        return Reply(Verdict.TAKEN, "")
    reason = f"status {status}"
    if status in _REFUSED:
        is_there = _ALREADY in body
        return Reply(Verdict.TAKEN if is_there else Verdict.REFUSED, reason)
    return Reply(Verdict.AGAIN, reason, _seconds(retry_after))


def _seconds(retry_after: str | None) -> float:
    """Read a number of seconds; a date, or nonsense, is no wish."""
    text = (retry_after or "").strip()
    is_number = text.isascii() and text.isdigit()
    return min(float(text), _LONGEST_WAIT_SECONDS) if is_number else 0.0
