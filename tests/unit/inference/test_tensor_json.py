"""Tensors of JSON lists: numbers that are packed at once are those that are looked at."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inference.errors import InputInvalid
from inference.tensor_json import tensor_from_json
from inference.tensors import BF16, BYTES, DATATYPES, Tensor

VALUES: st.SearchStrategy[object] = st.one_of(
    st.none(),
    st.integers(-(2**64), 2**64),
    st.floats(),
    st.floats(-1000, 1000).map(round).map(float),
    st.just({}),
)
NUMBERS = sorted(DATATYPES.keys() - {BYTES})


def outcome(data: list[object], name: str, *, is_numeric: bool) -> Tensor | str:
    """Make a tensor, or say why not."""
    try:
        return tensor_from_json(data, DATATYPES[name], [len(data)], name="x", is_numeric=is_numeric)
    except InputInvalid as error:
        return str(error)


@given(st.sampled_from(NUMBERS), st.lists(VALUES, max_size=5))
@example("FP32", [3.5e38])
@example("FP32", [2**200])
@example("FP64", [2**1100])
@example("FP32", [16777217, math.nan, -math.inf])
@example("INT64", [2**63 - 1, -(2**63)])
@example("UINT8", [256])
@example("BOOL", [1])
@example(BF16, [1.5])
def test_packing_changes_no_value_and_no_refusal(name: str, data: list[object]) -> None:
    """Whatever the datatype, the numbers, and what is none."""
    packed, looked_at = (outcome(data, name, is_numeric=known) for known in (True, False))
    if isinstance(looked_at, str):
        assert packed == looked_at
        return
    assert isinstance(packed, np.ndarray)
    assert packed.dtype == looked_at.dtype
    assert packed.tobytes() == looked_at.tobytes()


@pytest.mark.parametrize("data", [[1, 2, 3, 4], [[1, 2], [3, 4]]])
def test_packed_data_is_flat_or_nested(data: list[object]) -> None:
    """Row-major both ways."""
    found = tensor_from_json(data, DATATYPES["FP32"], [2, 2], name="x", is_numeric=True)
    assert found.tolist() == [[1, 2], [3, 4]]


def test_truth_value_is_no_number() -> None:
    """Nor is text, where nobody has looked before."""
    for value in (True, "1"):
        assert isinstance(outcome([value], "FP32", is_numeric=False), str)
