"""Read the body of a prediction within the cap, so that its numbers can be used where they lie."""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Final

from gateway.dataplane.compression import Inflater, content_coding
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

    async def read(self, headers: Headers, receive: Receive, operation: str) -> Body:
        """Read a body, inflated where it is compressed; for `infer` perhaps as a view.

        One that comes in pieces is put together such that the bytes behind the JSON of an
        inference request begin at an even address: then tensors are views of them.

        Raises:
            BodyTooLarge: announced or found to be over the cap, inflated too.
            ClientDisconnected: it ended early.
            EncodingUnsupported: it is compressed, for another operation than `infer` or in a way
                that is not known.
            RequestInvalid: it is not compressed as it says.
        """
        coding = content_coding(headers) if self._check_headers(headers) else None
        if coding is not None and operation != INFER:
            raise EncodingUnsupported
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        body: Body = message.get("body", b"")
        if message.get("more_body", False):
            padding = _padding(headers) if operation == INFER else 0
            content = await self._read_rest(bytearray(padding) + body, receive, padding)
            body = memoryview(content)[padding:] if operation == INFER else bytes(content)
        self._check(len(body))
        return body if coding is None else await self._inflater.inflate(body, coding)

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

    def _check_headers(self, headers: Headers) -> bool:
        """Check the announced length; say whether the body is said to be encoded in some way."""
        is_encoded = False
        for name, value in headers:
            if name == b"content-length":
                if not value.isdigit():
                    raise RequestInvalid("Content-Length is not a number")
                self._check(int(value))
            elif name == b"content-encoding":
                is_encoded = True
        return is_encoded

    def _check(self, size: int) -> None:
        if size > self._max_bytes:
            raise BodyTooLarge(self._max_bytes)


def _padding(headers: Headers) -> int:
    """Count the bytes to put in front of a body so that what follows its JSON lies straight."""
    for name, value in headers:
        if name == HEADER_LENGTH and value.isdigit() and len(value) <= _MAX_DIGITS:
            return -int(value) % _ALIGNMENT
    return 0
