"""Read one gRPC call: who sends it, until when, and its message.

Messages come as bytes, so that a malformed one is refused in our words and a compressed one grows
no further than we let it.
"""

import asyncio
from collections.abc import MutableMapping
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import unquote

import grpc
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]

from auth.networks import Address
from gateway.addresses import source_of
from gateway.dataplane.compression import Inflater
from gateway.errors import RequestInvalid

Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"
Headers: TypeAlias = list[tuple[bytes, bytes]]

_GZIP: Final = b"\x1f\x8b"
_DEFLATE: Final = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")

_Message = TypeVar("_Message", bound=Message)


class GrpcCall:
    """One call on its way; `scope` describes it as ASGI describes a request.

    `deadline` is a time of the loop's clock: `timeout_seconds` from now, or sooner where the caller
    says so (`grpc-timeout`). `timer` cancels the call when it has passed.
    """

    def __init__(
        self,
        context: Context,
        *,
        inflater: Inflater,
        timeout_seconds: float,
        trusts_proxy: bool,
    ) -> None:
        remaining = context.time_remaining()
        own = timeout_seconds if remaining is None else min(timeout_seconds, max(remaining, 0.0))
        self.deadline = asyncio.get_running_loop().time() + own
        self.timer = asyncio.timeout_at(self.deadline)
        self.scope = _scope_of(context)
        self.is_reading = False
        self._context = context
        self._inflater = inflater
        self._trusts_proxy = trusts_proxy

    @property
    def headers(self) -> Headers:
        """The metadata of the call."""
        headers: Headers = self.scope["headers"]
        return headers

    def source(self) -> Address | None:
        """Say where the call comes from."""
        return source_of(self.scope, trusts_proxy=self._trusts_proxy)

    @property
    def is_overdue(self) -> bool:
        """Whether the caller's own deadline has passed."""
        remaining = self._context.time_remaining()
        return remaining is not None and remaining <= 0

    async def read(self) -> bytes:
        """Read the one message of the call, inflated where it is compressed.

        A message of this protocol never begins with the bytes that gzip and zlib begin with: the
        first is a wire type that there is not, the second a field that there is not.

        Threat: gRPC itself would inflate any number of them, each to any size.

        Raises:
            RequestInvalid: the call ended without one, or it cannot be inflated.
            BodyTooLarge: it inflates to more than the cap.
        """
        self.is_reading = True
        content: object = await self._context.read()
        self.is_reading = False
        if not isinstance(content, bytes):
            raise RequestInvalid("the call has no message")
        coding = _coding_of(content)
        return content if coding is None else await self._inflater.inflate(content, coding)

    def let_finish(self) -> None:
        """Have the deadline interrupt nothing from here on."""
        self.timer.reschedule(None)


def parse(kind: type[_Message], content: bytes) -> _Message:
    """Read the members of a message.

    Raises:
        RequestInvalid: it is no such message.
    """
    message: _Message = kind()
    try:
        message.ParseFromString(content)
    except DecodeError:
        raise RequestInvalid("the message cannot be read") from None
    return message


def _coding_of(content: bytes) -> bytes | None:
    """Say how a message is compressed; None where it is not."""
    if content[:2] == _GZIP:
        return b"gzip"
    return b"deflate" if content[:2] in _DEFLATE else None


def _scope_of(context: Context) -> MutableMapping[str, Any]:
    """Describe a call for what judges and observes requests; binary metadata is none of ours."""
    headers = [
        (name.encode("latin-1"), value.encode("latin-1", "replace"))
        for name, value in context.invocation_metadata() or ()
        if isinstance(value, str)
    ]
    return {"method": "POST", "headers": headers, "client": _client_of(context.peer())}


def _client_of(peer: str) -> tuple[str, int] | None:
    """Read the caller's address; None behind a unix socket."""
    kind, _, place = unquote(peer).partition(":")
    if kind not in ("ipv4", "ipv6"):
        return None
    host, _, port = place.rpartition(":")
    return host.strip("[]"), int(port)
