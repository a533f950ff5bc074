"""Ready-made tensors: what rows could have become is taken, and nothing else."""

import numpy as np
import pytest

from inference.contract import Contract
from inference.errors import ContractViolated, InputInvalid, TooManyRows
from inference.signature import TensorSpec
from inference.tensors import DATATYPES, Tensor, Tensors
from tests.unit.inference.contracts import feature_contract, graph_contract, house_contract


def houses(numbers: list[list[float]], answers: list[str]) -> Tensors:
    """Make the tensors of houses: area and rooms, and whether there is a garden."""
    return {
        "numbers": np.array(numbers, np.float32),
        "answer": np.array(answers, object).reshape(-1, 1),
    }


def violated(contract: Contract, tensors: Tensors) -> list[tuple[int | None, str | None]]:
    """List the places that a contract finds wrong."""
    with pytest.raises(ContractViolated) as caught:
        contract.check_tensors(tensors)
    return [(item.row, item.feature) for item in caught.value.violations]


def column(values: list[object], datatype: str = "FP32") -> dict[str, Tensor]:
    """Make the input of a contract of one feature."""
    return {"in": np.array(values, DATATYPES[datatype].dtype).reshape(-1, 1)}


def test_good_tensors_pass_and_their_rows_are_counted() -> None:
    """The bounds themselves are within the bounds."""
    tensors = houses([[10, 1], [1000, 20]], ["no", "yes"])
    assert house_contract().check_tensors(tensors) == 2


def test_each_broken_rule_is_named_by_row_and_feature() -> None:
    """Too small, too large, a fraction, not a number, and a word that is no category."""
    bad: list[list[float]] = [[9, 1], [10, 21], [10, 1.5], [np.nan, 1], [np.inf, 1], [10, 1]]
    answers = ["no"] * 6
    assert violated(house_contract(), houses(bad, answers)) == [
        (0, "area"),
        (1, "rooms"),
        (2, "rooms"),
        (3, "area"),
        (4, "area"),
    ]
    assert violated(house_contract(), houses([[10, 1]], ["maybe"])) == [(0, "garden")]


def test_at_most_ten_violations_are_named() -> None:
    """A flood of bad rows makes no flood of words."""
    assert len(violated(house_contract(), houses([[0, 0]] * 4000, ["no"] * 4000))) == 10


@pytest.mark.parametrize("value", [0.1, 0.3])
def test_bound_that_the_datatype_rounds_is_within(value: float) -> None:
    """FP32 of 0.1 is more than 0.1, and of 0.3 too; JSON takes both as they are written."""
    contract = feature_contract('type = "number"\nminimum = 0.1\nmaximum = 0.3')
    assert contract.check_tensors(column([value])) == 1


def test_not_a_number_passes_where_it_may() -> None:
    """Infinity too, unless it lies beyond a bound."""
    contract = feature_contract('type = "number"\nallow_nan = true\nmaximum = 5')
    assert contract.check_tensors(column([float("nan"), float("-inf")])) == 2
    assert violated(contract, column([float("inf")])) == [(0, "x")]


@pytest.mark.parametrize("datatype", ["FP16", "BF16", "FP64", "INT8", "UINT64"])
def test_bounds_hold_in_every_datatype(datatype: str) -> None:
    """Numbers are compared in the tensor's own datatype."""
    contract = feature_contract('type = "integer"\nminimum = 2\nmaximum = 1000000', datatype)
    assert contract.check_tensors(column([2, 3], datatype)) == 2
    assert violated(contract, column([1], datatype)) == [(0, "x")]


def test_truth_value_in_a_number_is_zero_or_one() -> None:
    """As rows are packed."""
    contract = feature_contract('type = "boolean"', "FP32")
    assert contract.check_tensors(column([0, 1])) == 2
    assert violated(contract, column([0.5, 2, -1])) == [(0, "x"), (1, "x"), (2, "x")]


def test_free_text_and_truth_values_have_no_rule() -> None:
    """Whatever they hold."""
    assert feature_contract('type = "string"', "BYTES").check_tensors(column(["?"], "BYTES")) == 1
    assert feature_contract('type = "boolean"', "BOOL").check_tensors(column([True], "BOOL")) == 1


GRAPH = (TensorSpec("a", "FP32", (-1, 3)), TensorSpec("b", "INT64", (-1,)))


def pair(a: Tensor, b: Tensor) -> Tensors:
    """Make the inputs of the graph."""
    return {"a": a, "b": b}


@pytest.mark.parametrize(
    "tensors",
    [
        pytest.param({"a": np.zeros((1, 3), np.float32)}, id="missing"),
        pytest.param(
            pair(np.zeros((1, 3), np.float32), np.zeros(1, np.int64)) | {"c": np.zeros(1)},
            id="unknown",
        ),
        pytest.param(pair(np.zeros((1, 3)), np.zeros(1, np.int64)), id="other datatype"),
        pytest.param(pair(np.zeros((1, 2), np.float32), np.zeros(1, np.int64)), id="other size"),
        pytest.param(pair(np.zeros(3, np.float32), np.zeros(1, np.int64)), id="other rank"),
        pytest.param(pair(np.zeros((0, 3), np.float32), np.zeros(0, np.int64)), id="no row"),
        pytest.param(pair(np.zeros((2, 3), np.float32), np.zeros(1, np.int64)), id="uneven"),
    ],
)
def test_structure_that_is_not_the_graphs_is_refused(tensors: Tensors) -> None:
    """Before any value is looked at."""
    with pytest.raises(InputInvalid):
        graph_contract(*GRAPH).check_tensors(tensors)


def test_more_rows_than_the_queue_holds_are_refused() -> None:
    """As in JSON."""
    contract = feature_contract('type = "number"', max_rows=3)
    with pytest.raises(TooManyRows):
        contract.check_tensors(column([1, 2, 3, 4]))


def test_fixed_rows_and_scalars_are_one_unit_or_their_rows() -> None:
    """What cannot be counted costs one."""
    fixed = graph_contract(TensorSpec("a", "FP32", (4, 2)), is_batchable=False)
    assert fixed.check_tensors({"a": np.zeros((4, 2), np.float32)}) == 4
    scalar = graph_contract(TensorSpec("a", "FP32", ()), is_batchable=False)
    assert scalar.check_tensors({"a": np.array(1, np.float32)}) == 1
