"""How one gRPC call is read: its message, inflated within the cap and beside other calls."""

import asyncio
import gzip
import zlib
from collections.abc import Callable
from typing import cast

import pytest

from gateway.dataplane.compression import Inflater
from gateway.dataplane.grpc_call import Context, GrpcCall
from gateway.errors import BodyTooLarge

MAX_BYTES = 100_000
SMALL, LARGE = b"\x0a\x01m", bytes(range(256)) * 100


class FakeContext:
    """A call that has its message already."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def time_remaining(self) -> None:
        """Know of no deadline."""

    def invocation_metadata(self) -> tuple[()]:
        """Have no metadata."""
        return ()

    def peer(self) -> str:
        """Come from a socket file."""
        return "unix:"

    async def read(self) -> bytes:
        """Hand over the message."""
        return self._content


def call_with(content: bytes) -> GrpcCall:
    """Begin a call with a message."""
    context = cast("Context", FakeContext(content))
    inflater = Inflater(MAX_BYTES)
    return GrpcCall(context, inflater=inflater, timeout_seconds=10, trusts_proxy=False)


def packed_slightly(content: bytes) -> bytes:
    """Compress such that it is no small message after that."""
    return gzip.compress(content, compresslevel=0)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zlib.compress, packed_slightly])
@pytest.mark.parametrize("content", [SMALL, LARGE])
async def test_message_is_read_as_it_was_meant(
    content: bytes, pack: Callable[[bytes], bytes]
) -> None:
    """Whether or not it is compressed."""
    assert await call_with(pack(content)).read() == content


async def test_large_message_is_inflated_beside_other_calls() -> None:
    """The loop has its next turn before a thread is done with it."""
    reading = asyncio.create_task(call_with(packed_slightly(LARGE)).read())
    await asyncio.sleep(0)
    assert not reading.done()
    assert await reading == LARGE


async def test_message_is_inflated_no_further_than_the_cap() -> None:
    """However small it was sent."""
    with pytest.raises(BodyTooLarge):
        await call_with(gzip.compress(bytes(100 * MAX_BYTES))).read()
