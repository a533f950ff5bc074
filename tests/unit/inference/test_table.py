"""A contract's rows as a flat table: which contracts have one, and what a missing cell becomes."""

import math

import numpy as np
import pytest

from inference.errors import ContractViolated, InputInvalid, TooManyRows, Violation
from inference.signature import TensorSpec
from inference.table import MAX_COLUMNS
from tests.unit.inference.contracts import feature_contract, graph_contract, house_contract


def names_of(*inputs: TensorSpec) -> list[str] | None:
    """Name the columns of a graph without a manifest."""
    table = graph_contract(*inputs).table
    return None if table is None else [column.name for column in table.columns]


@pytest.mark.parametrize(
    ("shape", "names"),
    [
        ((-1,), ["x"]),
        ((-1, 1), ["x"]),
        ((-1, 3), ["x[0]", "x[1]", "x[2]"]),
        ((4, 2), ["x[0]", "x[1]"]),
        ((-1, -1), None),
        ((-1, 0), None),
        ((-1, 2, 2), None),
        ((), None),
        ((-1, MAX_COLUMNS + 1), None),
    ],
)
def test_shape_decides_whether_there_are_columns(
    shape: tuple[int, ...], names: list[str] | None
) -> None:
    """One value of a row is one column, and what has no fixed width is no table."""
    assert names_of(TensorSpec("x", "FP32", shape)) == names


def test_all_inputs_must_have_columns() -> None:
    """A table that leaves an input out could not be run."""
    image = TensorSpec("image", "FP32", (-1, 3, 8, 8))
    assert names_of(TensorSpec("x", "FP32", (-1,)), image) is None


def test_columns_of_one_name_are_no_table() -> None:
    """Nobody could say which input a column is for."""
    clash = TensorSpec("x[0]", "FP32", (-1,))
    assert names_of(TensorSpec("x", "FP32", (-1, 2)), clash) is None


def test_table_and_rows_give_the_same_tensors() -> None:
    """How a row is written down decides nothing."""
    contract = house_contract()
    cells: dict[str, list[object]] = {"garden": ["yes"], "rooms": [3], "area": [80.5]}
    by_rows = contract.rows_to_tensors([{"area": 80.5, "rooms": 3, "garden": "yes"}])
    by_table = contract.table_to_tensors(cells)
    assert all(np.array_equal(by_table[name], by_rows[name]) for name in by_rows)


def test_columns_of_an_input_are_put_together_by_name() -> None:
    """Their order in the table does not matter."""
    contract = graph_contract(TensorSpec("x", "FP32", (-1, 2)))
    tensors = contract.table_to_tensors({"x[1]": [2.0, 4.0], "x[0]": [1.0, 3.0]})
    assert tensors["x"].tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_part_of_an_input_is_refused() -> None:
    """The column that is not there is named."""
    contract = graph_contract(TensorSpec("x", "FP32", (-1, 2)))
    with pytest.raises(ContractViolated) as refused:
        contract.table_to_tensors({"x[1]": [2.0]})
    assert refused.value.violations == (Violation(None, "x[0]", "is missing"),)


def test_missing_cell_becomes_the_default() -> None:
    """As a member that a JSON row leaves out."""
    contract = feature_contract('type = "number"\ndefault = 7')
    assert contract.table_to_tensors({"x": [1.0, None]})["in"].tolist() == [[1.0], [7.0]]


@pytest.mark.parametrize("feature", ['type = "number"\nallow_nan = true', ""])
def test_missing_number_becomes_nan_where_that_is_taken(feature: str) -> None:
    """By a feature that says so, and by a graph without a manifest."""
    graph = graph_contract(TensorSpec("x", "FP32", (-1, 1)))
    contract = feature_contract(feature) if feature else graph
    [tensor] = contract.table_to_tensors({"x": [1.0, None]}).values()
    assert math.isnan(tensor[1, 0])


@pytest.mark.parametrize("kind", ["number", "integer", "boolean"])
def test_missing_cell_without_a_default_is_a_violation(kind: str) -> None:
    """It names its row and its feature."""
    value: object = kind != "boolean" or True
    with pytest.raises(ContractViolated) as refused:
        feature_contract(f'type = "{kind}"').table_to_tensors({"x": [value, None]})
    assert (1, "x") in [(found.row, found.feature) for found in refused.value.violations]


def test_unknown_column_is_refused() -> None:
    """A misspelt feature is not ignored in silence."""
    with pytest.raises(InputInvalid):
        house_contract().table_to_tensors({"aera": [1.0]})


def test_more_rows_than_the_queue_holds_are_refused() -> None:
    """As in JSON."""
    with pytest.raises(TooManyRows):
        feature_contract('type = "number"', max_rows=2).table_to_tensors({"x": [1.0] * 3})


def test_contract_without_a_table_says_so() -> None:
    """An image is no row of a table."""
    with pytest.raises(InputInvalid):
        graph_contract(TensorSpec("x", "FP32", (-1, 2, 2))).table_to_tensors({})
