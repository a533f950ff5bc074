"""Requests read without protobuf's copies are what protobuf reads, whatever their bytes."""

import contextlib
import sys

import numpy as np
import pytest
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.dataplane.grpc_message import read_infer, split
from gateway.errors import RequestInvalid
from inference.protocol.open_inference_pb2 import ModelInferRequest
from inference.tensor_bytes import tensor_from_bytes
from inference.tensors import DATATYPES
from tests.protobuf_fields import field

LARGE = b"\x07" * 70_000
RAW = 7
RAW_TAG = b"\x3a"


def field_of(request: ModelInferRequest) -> bytes:
    """Write a part of a request."""
    written: bytes = request.SerializeToString()
    return written


Input = ModelInferRequest.InferInputTensor
PIECES = st.one_of(
    st.builds(
        field,
        st.just(RAW),
        st.one_of(st.binary(max_size=40), st.just(LARGE)),
        filling=st.integers(0, 11),
    ),
    st.builds(lambda text: field_of(ModelInferRequest(model_name=text)), st.text(max_size=9)),
    st.builds(lambda text: field_of(ModelInferRequest(id=text)), st.text(max_size=9)),
    st.builds(
        lambda name, shape: field_of(ModelInferRequest(inputs=[Input(name=name, shape=shape)])),
        st.text(max_size=9),
        st.lists(st.integers(0, 2**63 - 1), max_size=3),
    ),
    st.builds(field, st.sampled_from([1, 4, 5, 6]), st.binary(max_size=9)),
    st.sampled_from(
        [
            b"",
            b"\x42\x00",
            b"\x08\x01",
            b"\x3b\x3c",
            b"\xba\x00\x01x",
            b"\x3d1234",
            b"\x00",
            b"\x3a",
        ]
    ),
)
"""Pieces of messages: usual fields, fields that cannot be read, and such as nobody sends."""

MESSAGES = st.one_of(
    st.lists(PIECES, max_size=80).map(b"".join),
    st.builds(
        lambda pieces, at, byte: _damaged(b"".join(pieces), at, byte),
        st.lists(PIECES, min_size=1, max_size=6),
        st.integers(0, 200),
        st.integers(0, 255),
    ),
    st.builds(
        lambda pieces, left: b"".join(pieces)[:-left],
        st.lists(PIECES, min_size=1, max_size=6),
        st.integers(1, 50),
    ),
    st.binary(max_size=60),
)


def _damaged(content: bytes, at: int, byte: int) -> bytes:
    at %= max(len(content), 1)
    return content[:at] + bytes([byte]) + content[at + 1 :]


def refused(content: bytes) -> bool:
    """Say whether protobuf cannot read it."""
    try:
        ModelInferRequest.FromString(content)
    except DecodeError:
        return True
    return False


def expected(content: bytes) -> bytes:
    """Let protobuf alone read and write it."""
    written: bytes = ModelInferRequest.FromString(content).SerializeToString(deterministic=True)
    return written


@given(MESSAGES)
@example(field(RAW, b""))
@example(field(RAW, b"ab", filling=4))
@example(RAW_TAG + b"\x80\x80\x80\x80\x10")
@example(RAW_TAG + b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
@example(field(RAW, b"ab", filling=10))
@example(field(RAW, b"ab") + b"\xba\x00\x0a\x09zzzzzzzzz")
@example(b"\x0a\x01a" + field(RAW, b"ab") + b"\x0a\x01b")
@example(field(RAW, b"ab") * 65)
@example(field(RAW, b"ab") + b"\x0a\x01\xff")
def test_split_message_is_the_one_that_protobuf_reads(content: bytes) -> None:
    """The same content, or both refuse it, or the walk leaves it to protobuf."""
    if refused(content):
        with pytest.raises(RequestInvalid):
            read_infer(content)
        with contextlib.suppress(RequestInvalid):
            assert split(content) is None
        return
    assert read_infer(content).canonical_bytes() == expected(content)
    message = split(content)
    if message is not None:
        assert message.canonical_bytes() == expected(content)
        assert not message.head.raw_input_contents


@pytest.mark.parametrize("size", [10, len(LARGE)])
def test_tensors_are_taken_once_and_stand_beside_the_rest(size: int) -> None:
    """Large or small: in their order, and not in the rest."""
    contents = [LARGE[:size], b"", b"abc"]
    request = ModelInferRequest(model_name="m", raw_input_contents=contents)
    message = read_infer(request.SerializeToString())
    assert (message.head.model_name, message.size) == ("m", request.ByteSize())
    assert not message.head.raw_input_contents
    assert [bytes(entry) for entry in message.take_raw()] == contents
    assert message.take_raw() == []


def test_large_tensor_is_not_copied() -> None:
    """It is a view of the bytes that came, wherever it stands among them."""
    content = field(RAW, LARGE) + field(1, b"m")
    (entry,) = read_infer(content).take_raw()
    assert isinstance(entry, memoryview)
    assert entry.obj is content


def test_message_is_let_go_of_with_its_tensors() -> None:
    """Once a tensor is gone, nothing holds what came, though the rest is there."""
    content = field(RAW, LARGE) + field(1, b"m")
    before = sys.getrefcount(content)
    message = read_infer(content)
    (entry,) = message.take_raw()
    tensor = tensor_from_bytes(entry, DATATYPES["UINT8"], [len(LARGE)], name="x")
    del entry
    assert np.array_equal(tensor, np.frombuffer(LARGE, np.uint8))
    assert sys.getrefcount(content) > before
    del tensor
    assert sys.getrefcount(content) == before
    assert message.head.model_name == "m"
