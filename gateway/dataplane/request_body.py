"""Read the body of a prediction within the cap, so that its numbers can be used where they lie."""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Final

import numpy as np

from gateway.dataplane.compression import Inflater, content_coding
from gateway.dataplane.connection import CONNECTION, Connection, Scope
from gateway.dataplane.oip_answer import HEADER_LENGTH
from gateway.dataplane.paths import INFER
from gateway.errors import BodyTooLarge, ClientDisconnected, EncodingUnsupported, RequestInvalid

Body = bytes | memoryview
Headers = Sequence[tuple[bytes, bytes]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_ALIGNMENT: Final = 16
_MAX_DIGITS: Final = 18


class BodyReader:
    """Read bodies of at most `max_bytes`, compressed or inflated."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._inflater = Inflater(max_bytes)

    async def read(self, scope: Scope, receive: Receive, operation: str) -> Body:
        """Read a body, inflated where it is compressed; for `infer` perhaps as a view.

        One that comes in pieces is put together such that the bytes behind the JSON of an
        inference request begin at an even address: then tensors are views of them. Where its
        length is known, the connection lays the pieces there itself.

        Raises:
            BodyTooLarge: announced or found to be over the cap, inflated too.
            ClientDisconnected: it ended early.
            EncodingUnsupported: it is compressed, for another operation than `infer` or in a way
                that is not known.
            RequestInvalid: it is not compressed as it says.
        """
        headers: Headers = scope["headers"]
        announced, is_encoded = self._check_headers(headers)
        coding = content_coding(headers) if is_encoded else None
        if coding is not None and operation != INFER:
            raise EncodingUnsupported
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        begun: bytes = message.get("body", b"")
        body: Body = begun
        if message.get("more_body", False):
            padding = _padding(headers) if operation == INFER else 0
            whole = await self._read_on(scope, receive, begun, announced=announced, padding=padding)
            body = whole if operation == INFER else bytes(whole)
        self._check(len(body))
        return body if coding is None else await self._inflater.inflate(body, coding)

    async def _read_on(
        self, scope: Scope, receive: Receive, begun: bytes, *, announced: int, padding: int
    ) -> memoryview:
        """Put a body together behind so many bytes of padding, which are not returned.

        The memory for one of a known length is asked for at once, but takes up nothing before
        bytes come for it.
        """
        connection: Connection | None = scope.get(CONNECTION)
        if connection is not None and announced > len(begun):
            content = np.empty(padding + announced, np.uint8).data
            filled = padding + len(begun)
            content[padding:filled] = begun
            if await connection.receive_into(scope, content[filled:]):
                return content[padding:]
        content = memoryview(await self._read_rest(bytearray(padding) + begun, receive, padding))
        return content[padding:]

    async def _read_rest(self, content: bytearray, receive: Receive, padding: int) -> bytearray:
        has_more = True
        while has_more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnected
            content += message.get("body", b"")
            self._check(len(content) - padding)
            has_more = message.get("more_body", False)
        return content

    def _check_headers(self, headers: Headers) -> tuple[int, bool]:
        """Check the announced length; return it, and whether the body may be encoded in some way.

        The length is 0 where the body comes in chunks.
        """
        announced, is_chunked, is_encoded = 0, False, False
        for name, value in headers:
            if name == b"content-length":
                if not value.isdigit():
                    raise RequestInvalid("Content-Length is not a number")
                announced = int(value)
                self._check(announced)
            elif name == b"content-encoding":
                is_encoded = True
            elif name == b"transfer-encoding":
                is_chunked = True
        return 0 if is_chunked else announced, is_encoded

    def _check(self, size: int) -> None:
        if size > self._max_bytes:
            raise BodyTooLarge(self._max_bytes)


def _padding(headers: Headers) -> int:
    """Count the bytes to put in front of a body so that what follows its JSON lies straight."""
    for name, value in headers:
        if name == HEADER_LENGTH and value.isdigit() and len(value) <= _MAX_DIGITS:
            return -int(value) % _ALIGNMENT
    return 0
