"""How the answers of two versions compare."""

import warnings

import numpy as np

from inference.agreement import compare_answers
from inference.tensors import Tensors


def floats(*values: float) -> Tensors:
    """Make one output with a row for each value."""
    return {"y": np.array(values, np.float32)}


def agreed_rows(first: Tensors, second: Tensors, *, tolerance: float = 1e-3) -> int:
    """Count the rows that agree."""
    return compare_answers(first, second, tolerance=tolerance).agreed_rows


def test_floats_agree_within_the_tolerance() -> None:
    """A thousandth of the larger one is near enough."""
    assert agreed_rows(floats(1000.0, 1000.0), floats(1000.9, 1001.5)) == 1


def test_class_numbers_agree_only_when_equal() -> None:
    """Class 1000 is not nearly class 1001."""
    first, second = np.array([1000, 7]), np.array([1001, 7])
    assert agreed_rows({"y": first}, {"y": second}, tolerance=0.5) == 1


def test_texts_agree_when_equal() -> None:
    """Labels are compared as they are."""
    first = {"y": np.array(["cat", "dog"], object)}
    assert agreed_rows(first, {"y": np.array(["cat", "cow"], object)}) == 1


def test_row_agrees_in_all_its_numbers_and_outputs() -> None:
    """One number of one output is enough to differ."""
    first: Tensors = {"a": np.zeros((3, 2)), "b": np.zeros(3)}
    second: Tensors = {"a": np.array([[0, 0], [0, 1], [0, 0]], float), "b": np.array([0.0, 0, 1])}
    comparison = compare_answers(first, second, tolerance=0.0)
    assert comparison.agreed_rows == 1
    assert [output.agreed_rows for output in comparison.outputs] == [2, 2]


def test_difference_is_the_challengers_less_the_champions() -> None:
    """The sign says which one is higher; the distance has none."""
    [output] = compare_answers(floats(1, 2, 3), floats(1, 4, 2), tolerance=0.0).outputs
    assert (output.difference, output.distance, output.largest) == (1 / 3, 1.0, 2.0)


def test_not_a_number_agrees_with_itself_and_is_no_difference() -> None:
    """Infinity and NaN agree with the same, and count in no mean."""
    first, second = floats(np.nan, np.inf, 1.0), floats(np.nan, np.inf, 1.0)
    with warnings.catch_warnings(action="error"):
        comparison = compare_answers(first, second, tolerance=0.0)
    assert comparison.agreed_rows == 3
    assert comparison.outputs[0].difference == 0.0


def test_huge_differences_stay_numbers_when_squared() -> None:
    """Otherwise one answer would make every later mean infinite."""
    first, second = {"y": np.array([-1e308])}, {"y": np.array([1e307])}
    [output] = compare_answers(first, second, tolerance=0.0).outputs
    assert output.difference is not None
    assert np.isfinite(output.difference**2)


def test_outputs_of_other_shapes_and_names_agree_nowhere() -> None:
    """A challenger with another form is told of, not broken on."""
    assert agreed_rows(floats(1, 2), {"y": np.zeros((2, 2))}) == 0
    assert agreed_rows(floats(1, 2), {"z": np.array([1.0, 2.0])}) == 0


def test_answer_without_rows_is_one_row() -> None:
    """A single number for the whole request agrees or does not."""
    comparison = compare_answers({"y": np.array(3.0)}, {"y": np.array(3.0)}, tolerance=0.0)
    assert (comparison.rows, comparison.agreed_rows) == (1, 1)


def test_empty_outputs_are_compared() -> None:
    """Nothing found by both is agreement."""
    empty = np.zeros((0, 4))
    assert agreed_rows({"boxes": empty}, {"boxes": empty}) == 1
