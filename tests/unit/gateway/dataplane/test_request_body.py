"""Bodies of predictions: read within the cap, inflated within it, and laid straight."""

import gzip
import zlib
from collections.abc import MutableMapping
from typing import Any

import numpy as np
import pytest

from gateway.dataplane.compression import wanted_coding
from gateway.dataplane.paths import INFER, PREDICT
from gateway.dataplane.request_body import BodyReader, Receive
from gateway.errors import (
    BodyTooLarge,
    ClientDisconnected,
    EncodingUnsupported,
    RequestInvalid,
)

MAX_BYTES = 100_000
BODY = b"0123456789" * 2000
GZIP = [(b"content-encoding", b"gzip")]


def pieces(*contents: bytes, is_whole: bool = True) -> Receive:
    """Send a body in pieces; the client of one that is not whole leaves."""
    messages = [
        {"type": "http.request", "body": content, "more_body": True} for content in contents
    ]
    if is_whole:
        messages[-1]["more_body"] = False
    messages.append({"type": "http.disconnect"})
    remaining = iter(messages)

    async def receive() -> MutableMapping[str, Any]:
        return next(remaining)

    return receive


async def test_body_in_pieces_is_put_together() -> None:
    """For every operation."""
    for operation in (PREDICT, INFER):
        receive = pieces(b"ab", b"", b"cd")
        read = await BodyReader(MAX_BYTES).read({"headers": []}, receive, operation)
        assert bytes(read) == b"abcd"


@pytest.mark.parametrize("json_bytes", range(18))
async def test_numbers_behind_the_json_lie_straight(json_bytes: int) -> None:
    """Whatever its length, so that tensors are views."""
    headers = [(b"inference-header-content-length", b"%d" % json_bytes)]
    receive = pieces(b"x" * json_bytes, np.arange(100, dtype=np.float64).tobytes())
    read = await BodyReader(MAX_BYTES).read({"headers": headers}, receive, INFER)
    numbers = np.frombuffer(memoryview(read)[json_bytes:], np.float64)
    assert numbers.flags.aligned
    assert numbers.tolist() == list(range(100))


@pytest.mark.parametrize("operation", [PREDICT, INFER])
async def test_body_over_the_cap_is_refused(operation: str) -> None:
    """Announced, whole, and in pieces."""
    reader = BodyReader(10)
    with pytest.raises(BodyTooLarge):
        await reader.read({"headers": [(b"content-length", b"11")]}, pieces(b""), operation)
    with pytest.raises(BodyTooLarge):
        await reader.read({"headers": []}, pieces(b"x" * 11), operation)
    with pytest.raises(BodyTooLarge):
        await reader.read({"headers": []}, pieces(b"x" * 6, b"x" * 5), operation)


async def test_client_that_leaves_is_noticed() -> None:
    """Before the body and within it."""
    with pytest.raises(ClientDisconnected):
        await BodyReader(MAX_BYTES).read({"headers": []}, pieces(is_whole=False), INFER)
    with pytest.raises(ClientDisconnected):
        await BodyReader(MAX_BYTES).read({"headers": []}, pieces(b"a", is_whole=False), INFER)


@pytest.mark.parametrize("size", [10, 20_000])
async def test_compressed_body_is_inflated(size: int) -> None:
    """Small ones at once, others in a thread."""
    noise = np.random.default_rng(1).bytes(size)
    for coding, content in ((b"gzip", gzip.compress(noise)), (b"deflate", zlib.compress(noise))):
        headers = [(b"content-encoding", coding)]
        read = await BodyReader(MAX_BYTES).read({"headers": headers}, pieces(content), INFER)
        assert read == noise


async def test_bomb_is_inflated_no_further_than_the_cap() -> None:
    """A hundred times the cap, in one piece and in several."""
    bomb = gzip.compress(bytes(100 * MAX_BYTES))
    with pytest.raises(BodyTooLarge):
        await BodyReader(MAX_BYTES).read({"headers": GZIP}, pieces(bomb), INFER)
    with pytest.raises(BodyTooLarge):
        await BodyReader(MAX_BYTES).read({"headers": GZIP}, pieces(bomb[:99], bomb[99:]), INFER)


@pytest.mark.parametrize(
    "content",
    [BODY, gzip.compress(BODY)[:-9], gzip.compress(BODY) + b"?", b""],
    ids=["plain", "cut", "more than it", "nothing"],
)
async def test_what_is_not_compressed_as_it_says_is_refused(content: bytes) -> None:
    """Plain, cut off, with something behind it, and empty."""
    with pytest.raises(RequestInvalid):
        await BodyReader(MAX_BYTES).read({"headers": GZIP}, pieces(content), INFER)


@pytest.mark.parametrize("codings", [[b"br"], [b"gzip", b"gzip"], [b"gzip, deflate"]])
async def test_coding_that_is_not_known_is_refused(codings: list[bytes]) -> None:
    """And several of them."""
    headers = [(b"content-encoding", coding) for coding in codings]
    with pytest.raises(EncodingUnsupported):
        await BodyReader(MAX_BYTES).read({"headers": headers}, pieces(BODY), INFER)


async def test_other_operations_take_no_compressed_body() -> None:
    """Unless it says that it is none."""
    with pytest.raises(EncodingUnsupported):
        await BodyReader(MAX_BYTES).read({"headers": GZIP}, pieces(BODY), PREDICT)
    identity = [(b"content-encoding", b" Identity ")]
    assert await BodyReader(MAX_BYTES).read({"headers": identity}, pieces(BODY), PREDICT) == BODY


@pytest.mark.parametrize(
    ("accepted", "wanted"),
    [
        ([b"gzip"], b"gzip"),
        ([b" Deflate "], b"deflate"),
        ([b"gzip, deflate"], None),
        ([b"identity"], None),
        ([b"gzip", b"gzip"], None),
        ([], None),
    ],
)
def test_answer_is_compressed_only_where_one_coding_is_named(
    accepted: list[bytes], wanted: bytes | None
) -> None:
    """A list is what libraries send by themselves."""
    assert wanted_coding([(b"accept-encoding", value) for value in accepted]) == wanted
