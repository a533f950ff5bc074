"""Raw bytes and tensors: every datatype there and back, and what is refused."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.errors import InputInvalid
from inference.tensor_bytes import tensor_from_bytes, tensor_to_bytes
from inference.tensors import BYTES, DATATYPES

NUMBERS = sorted(DATATYPES.keys() - {BYTES, "BOOL"})
SHAPES = ([6], [2, 3], [1, 6, 1], [0, 3])


def framed(*texts: bytes) -> bytes:
    """Write elements of BYTES as the protocol says."""
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_numbers_come_back_as_they_were(name: str, shape: list[int]) -> None:
    """Row-major and little-endian, whatever the width."""
    datatype = DATATYPES[name]
    tensor = np.arange(np.prod(shape)).astype(datatype.dtype).reshape(shape)
    content = tensor_to_bytes(tensor)
    assert len(content) == tensor.size * (datatype.width_bytes or 0)
    found = tensor_from_bytes(content, datatype, shape, name="x")
    assert (found.dtype, found.shape) == (datatype.dtype, tuple(shape))
    assert np.array_equal(found, tensor)


def test_bytes_are_little_endian() -> None:
    """The lowest byte comes first, on any machine."""
    assert tensor_to_bytes(np.array([1, 258], np.dtype(">u2"))) == b"\x01\x00\x02\x01"
    found = tensor_from_bytes(b"\x01\x00\x02\x01", DATATYPES["UINT16"], [2], name="x")
    assert found.tolist() == [1, 258]


def test_half_precision_of_both_kinds_keeps_its_bits() -> None:
    """FP16 has 10 bits of fraction and BF16 has 7."""
    half = tensor_from_bytes(b"\x00\x3e", DATATYPES["FP16"], [1], name="x")
    brain = tensor_from_bytes(b"\xc0\x3f", DATATYPES["BF16"], [1], name="x")
    assert (float(half[0]), float(brain[0])) == (1.5, 1.5)


def test_scalar_has_one_element() -> None:
    """An empty shape is one element, not none."""
    found = tensor_from_bytes(b"\x07", DATATYPES["UINT8"], [], name="x")
    assert (found.shape, int(found)) == ((), 7)


def test_tensor_is_a_view_of_the_bytes() -> None:
    """Nothing is copied where the elements lie straight."""
    content = bytearray(64)
    found = tensor_from_bytes(memoryview(content)[16:], DATATYPES["FP32"], [12], name="x")
    assert np.shares_memory(found, np.frombuffer(content, np.uint8))


def test_tensor_of_bytes_that_lie_askew_is_straight() -> None:
    """A header of odd length must not hand compiled code elements at odd addresses."""
    content = b"?" + tensor_to_bytes(np.arange(4, dtype=np.float64))
    found = tensor_from_bytes(memoryview(content)[1:], DATATYPES["FP64"], [4], name="x")
    assert found.flags.aligned
    assert found.tolist() == [0, 1, 2, 3]


def test_truth_values_take_a_byte_each() -> None:
    """0 is false and 1 is true."""
    found = tensor_from_bytes(b"\x01\x00\x01", DATATYPES["BOOL"], [3], name="x")
    assert found.tolist() == [True, False, True]
    assert tensor_to_bytes(found) == b"\x01\x00\x01"


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_text_comes_back_as_it_was(texts: list[str]) -> None:
    """Empty ones, zero characters and what lies beyond ASCII among them."""
    tensor = np.empty(len(texts), object)
    tensor[:] = texts
    content = tensor_to_bytes(tensor)
    assert content == framed(*(text.encode() for text in texts))
    found = tensor_from_bytes(content, DATATYPES[BYTES], [len(texts)], name="x")
    assert found.tolist() == texts


def test_bytes_of_an_output_are_written_as_they_are() -> None:
    """An engine may give bytes that are no text."""
    assert tensor_to_bytes(np.array([b"\xff", "a"], object)) == framed(b"\xff", b"a")


@pytest.mark.parametrize(
    ("datatype", "shape", "content"),
    [
        pytest.param("FP32", [2], b"1234567", id="too few bytes"),
        pytest.param("FP32", [1], b"12345678", id="too many bytes"),
        pytest.param("FP32", [-1], b"1234", id="negative size"),
        pytest.param("FP32", [-1, -1], b"1234", id="negative sizes whose product is not"),
        pytest.param("INT8", [2**32, 2**32], b"", id="product that overflows 64 bits"),
        pytest.param("BOOL", [1], b"\x02", id="BOOL of 2"),
        pytest.param("BYTES", [2**62], b"", id="more BYTES than there can be"),
        pytest.param("BYTES", [2], framed(b"a"), id="BYTES missing"),
        pytest.param("BYTES", [1], framed(b"a") + b"?", id="BYTES left over"),
        pytest.param("BYTES", [1], framed(b"abc")[:-1], id="BYTES cut off"),
        pytest.param("BYTES", [1], b"\xff\xff\xff\xffabc", id="BYTES of 4 GiB"),
        pytest.param("BYTES", [2], framed(b"aaaaa")[:8], id="BYTES whose length is cut off"),
        pytest.param("BYTES", [1], framed(b"\xff"), id="BYTES that are no UTF-8"),
        pytest.param("BYTES", [1], framed(b"\xed\xa0\x80"), id="BYTES of half a surrogate pair"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    datatype: str, shape: list[int], content: bytes
) -> None:
    """Before anything of the claimed size is allocated, and naming the input alone."""
    with pytest.raises(InputInvalid, match=r"\bx\b"):
        tensor_from_bytes(content, DATATYPES[datatype], shape, name="x")


@given(st.sampled_from(sorted(DATATYPES)), st.binary(max_size=64), st.integers(0, 16))
def test_any_bytes_give_a_tensor_or_a_refusal(name: str, content: bytes, count: int) -> None:
    """Nothing else comes out, and what was taken is written back byte for byte."""
    try:
        tensor = tensor_from_bytes(content, DATATYPES[name], [count], name="x")
    except InputInvalid:
        return
    assert tensor_to_bytes(tensor) == content
