"""The highest classes of an output, in the order in which a sort of all of them has them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dataplane.classification import top_classes
from inference.tensors import Tensor

VALUES = st.sampled_from([math.nan, math.inf, -math.inf, -1.0, 0.0, -0.0, 0.5, 2.0])
"""Few, so that many are equal."""


def sorted_classes(row: Tensor, count: int) -> list[str]:
    """Sort all of a row: falling values, equal ones by rising index, NaN as minus infinity."""
    least = [-math.inf if math.isnan(value) else value for value in row.tolist()]
    falling = sorted(range(len(row)), key=lambda index: -least[index])
    return [f"{row[index]}:{index}" for index in falling[:count]]


@given(
    st.integers(1, 40).flatmap(
        lambda width: st.lists(
            st.lists(VALUES, min_size=width, max_size=width), min_size=1, max_size=3
        )
    ),
    st.integers(1, 12),
    st.sampled_from([np.float16, np.float32, np.float64]),
)
def test_classes_are_those_of_a_full_sort(
    rows: list[list[float]], count: int, dtype: type[np.floating]
) -> None:
    """However few of many are wanted, and whatever is equal."""
    tensor = np.array(rows, dtype)
    classes = top_classes(tensor, count, has_rows=True)
    assert classes.tolist() == [sorted_classes(row, count) for row in tensor]


@pytest.mark.parametrize("dtype", [np.int64, np.uint64, np.bool_])
def test_classes_of_whole_numbers(dtype: type[np.generic]) -> None:
    """Their ends are kept, and labels stand where there are some."""
    tensor = np.arange(100).astype(dtype)
    tensor[::10] = np.array(0, dtype)
    top = top_classes(tensor, 2, has_rows=False, labels=["low", "mid"])
    assert top.tolist() == (["True:1:mid", "True:2"] if dtype is np.bool_ else ["99:99", "98:98"])
