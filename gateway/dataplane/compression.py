"""Inflate bodies of inference requests within a cap, and compress their answers where asked to.

What is told and recorded of sizes is that of bodies as they are without compression.

Source: RFC 9110 sections 8.4 and 12.5.3; RFC 1952 (gzip) and RFC 1950 (deflate).
"""

import asyncio
import zlib
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from gateway.dataplane.codec import Encoded
from gateway.errors import BodyTooLarge, EncodingUnsupported, RequestInvalid
from inference.tensor_bytes import Buffer

_WINDOW_BITS: Final[Mapping[bytes, int]] = MappingProxyType({b"gzip": 31, b"deflate": 15})
_PLAIN: Final = (b"", b"identity")
_INLINE_BYTES: Final = 4096
"""A body that inflates in a few milliseconds however it was made."""

_INLINE_ANSWER_BYTES: Final = 65_536
_INFLATING_AT_ONCE: Final = 2
_QUICK: Final = 1

Headers = Iterable[tuple[bytes, bytes]]


def content_coding(headers: Headers) -> bytes | None:
    """Read how a body is compressed; None where it is not.

    Raises:
        EncodingUnsupported: in a way that is not known here, or in several.
    """
    given = [value.strip().lower() for name, value in headers if name == b"content-encoding"]
    codings = [value for value in given if value not in _PLAIN]
    if not codings:
        return None
    if len(codings) > 1 or codings[0] not in _WINDOW_BITS:
        raise EncodingUnsupported
    return codings[0]


def wanted_coding(headers: Headers) -> bytes | None:
    """Read whether a client asks for a compressed answer: it names one way and nothing else.

    Libraries send a list of all that they can read with every request, and nobody meant it.
    """
    given = [value.strip().lower() for name, value in headers if name == b"accept-encoding"]
    return given[0] if len(given) == 1 and given[0] in _WINDOW_BITS else None


class Inflater:
    """Inflate bodies, two at a time in threads; small ones at once."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._turns = asyncio.Semaphore(_INFLATING_AT_ONCE)

    async def inflate(self, body: Buffer, coding: bytes) -> bytes:
        """Inflate a body.

        Threat: 64 kB can hold 64 MB, so a body is inflated no further than the cap, and not by as
        many at a time as there are requests.

        Raises:
            BodyTooLarge: inflated it is over the cap.
            RequestInvalid: it is not compressed as it says, or there is more behind it.
        """
        if len(body) <= _INLINE_BYTES:
            return self._inflated(body, coding)
        async with self._turns:
            return await asyncio.to_thread(self._inflated, body, coding)

    def _inflated(self, body: Buffer, coding: bytes) -> bytes:
        decompressor = zlib.decompressobj(_WINDOW_BITS[coding])
        try:
            content = decompressor.decompress(body, self._max_bytes + 1)
        except zlib.error:
            raise RequestInvalid("the body is not compressed as it says") from None
        if len(content) > self._max_bytes:
            raise BodyTooLarge(self._max_bytes)
        if not decompressor.eof or decompressor.unused_data:
            raise RequestInvalid("the compressed body is cut off, or more is behind it")
        return content


async def compressed(encoded: Encoded, coding: bytes) -> Encoded:
    """Compress the body of an answer; a large one in a thread."""
    if encoded.size <= _INLINE_ANSWER_BYTES:
        body = _compressed(encoded.body, coding)
    else:
        body = await asyncio.to_thread(_compressed, encoded.body, coding)
    return Encoded(body, len(body), (*encoded.headers, (b"content-encoding", coding)))


def _compressed(body: bytes, coding: bytes) -> bytes:
    compressor = zlib.compressobj(_QUICK, zlib.DEFLATED, _WINDOW_BITS[coding])
    return compressor.compress(body) + compressor.flush()
