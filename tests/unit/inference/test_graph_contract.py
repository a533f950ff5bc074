"""The contract that follows from a graph alone."""

import math

import numpy as np
import pytest

from inference.errors import ContractViolated, InputInvalid, Violation
from inference.signature import TensorSpec
from inference.tensors import Tensors
from tests.unit.inference.contracts import graph_contract

VECTOR = TensorSpec("x", "FP32", (-1, 2))
LABEL = TensorSpec("label", "BYTES", (-1,))
SEQUENCE = TensorSpec("ids", "INT64", (-1, -1))


def test_one_input_takes_bare_rows() -> None:
    """Rows for a single input are nested lists."""
    tensor = graph_contract(VECTOR).rows_to_tensors([[1, 2.5], [3, 4]])["x"]
    assert tensor.tolist() == [[1.0, 2.5], [3.0, 4.0]]
    assert tensor.dtype == np.float32


def test_one_input_takes_rows_that_name_it() -> None:
    """Clients that always send objects are understood."""
    assert graph_contract(VECTOR).rows_to_tensors([{"x": [1, 2]}])["x"].tolist() == [[1.0, 2.0]]


def test_several_inputs_take_objects() -> None:
    """Rows for several inputs are objects by input name."""
    tensors = graph_contract(VECTOR, LABEL).rows_to_tensors([{"x": [1, 2], "label": "a"}])
    assert tensors["x"].tolist() == [[1.0, 2.0]]
    assert tensors["label"].tolist() == ["a"]


@pytest.mark.parametrize("columns", [[[1, 2], [3, 4]], {"x": [[1, 2], [3, 4]]}])
def test_column_form_is_a_tensor_or_an_object_of_tensors(columns: object) -> None:
    """A bare tensor will do where there is one input."""
    tensor = graph_contract(VECTOR).columns_to_tensors(columns)["x"]
    assert tensor.tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_not_a_number_is_taken_for_floats() -> None:
    """A graph alone forbids no float."""
    [[first, second]] = graph_contract(VECTOR).rows_to_tensors([[math.nan, math.inf]])["x"].tolist()
    assert math.isnan(first)
    assert second == math.inf


def test_finite_number_that_overflows_is_a_violation() -> None:
    """A number is never turned into infinity on its way."""
    with pytest.raises(ContractViolated) as refused:
        graph_contract(VECTOR).rows_to_tensors([[1, 2], [1e300, math.inf]])
    assert [violation.row for violation in refused.value.violations] == [1]


@pytest.mark.parametrize(
    "row",
    [[1], [1, 2, 3], [[1], [2]], 1, "ab", None, {"y": 1}, [1, "2"], [1, True], [1, None], []],
)
def test_row_of_another_shape_or_type_is_a_violation(row: object) -> None:
    """A violation names the row and the input, and says the shape."""
    with pytest.raises(ContractViolated) as refused:
        graph_contract(VECTOR).rows_to_tensors([[1, 2], row])
    message = "must be lists of shape [2] of numbers that FP32 can hold"
    assert refused.value.violations == (Violation(1, "x", message),)


def test_rows_of_variable_length_must_agree() -> None:
    """A request is one tensor, so its rows have one shape."""
    contract = graph_contract(SEQUENCE)
    assert contract.rows_to_tensors([[1, 2], [3, 4]])["ids"].tolist() == [[1, 2], [3, 4]]
    with pytest.raises(InputInvalid):
        contract.rows_to_tensors([[1, 2], [3]])


def test_text_rows_of_variable_length_must_agree() -> None:
    """NumPy would make lists into elements; that never reaches the engine."""
    contract = graph_contract(TensorSpec("words", "BYTES", (-1, -1)))
    with pytest.raises(InputInvalid):
        contract.rows_to_tensors([["a", "b"], ["c"]])


def test_rows_of_size_zero_are_refused() -> None:
    """An engine may fail on a tensor without elements, which would be a 500."""
    with pytest.raises(ContractViolated):
        graph_contract(SEQUENCE).rows_to_tensors([[], []])


def test_binary_strings_are_decoded() -> None:
    """Text may come as base64, as TensorFlow Serving's clients send it."""
    assert graph_contract(LABEL).rows_to_tensors([{"b64": "w7w="}, "a"])["label"].tolist() == [
        "ü",
        "a",
    ]


@pytest.mark.parametrize(
    "value",
    [
        "\ud800",
        {"b64": "/w=="},
        {"b64": "!"},
        {"b64": "ü"},
        {"b64": 1},
        {"a": "eA=="},
        {"b64": "eA==", "c": 1},
        {str(index): 1 for index in range(1000)},
        {},
        1,
    ],
)
def test_text_that_is_none_is_a_violation(value: object) -> None:
    """Bytes that are no text, no base64 or no string at all are refused alike."""
    with pytest.raises(ContractViolated):
        graph_contract(LABEL).rows_to_tensors([value])


@pytest.mark.parametrize("value", [300, -1, 1.5, True, "1", math.nan, math.inf, 10**400])
def test_integers_fit_their_datatype(value: object) -> None:
    """What an integer tensor cannot hold exactly is refused."""
    with pytest.raises(ContractViolated):
        graph_contract(TensorSpec("n", "UINT8", (-1,))).rows_to_tensors([value])


def test_fixed_number_of_rows_is_demanded() -> None:
    """A graph of fixed size takes exactly its rows."""
    contract = graph_contract(TensorSpec("x", "FP32", (2, 1)), is_batchable=False)
    assert contract.rows_to_tensors([[1], [2]])["x"].shape == (2, 1)
    with pytest.raises(InputInvalid):
        contract.rows_to_tensors([[1]])


def test_input_without_rows_takes_columns_only() -> None:
    """A scalar input has one value for all rows, so rows cannot carry it."""
    contract = graph_contract(VECTOR, TensorSpec("scale", "FP32", ()), is_batchable=False)
    tensors = contract.columns_to_tensors({"x": [[1, 2]], "scale": 3})
    assert tensors["scale"].shape == ()
    assert contract.row_count(tensors) == 1
    with pytest.raises(InputInvalid):
        contract.rows_to_tensors([{"x": [1, 2], "scale": 3}])
    with pytest.raises(ContractViolated):
        contract.columns_to_tensors({"x": [[1, 2]], "scale": "3"})


def test_schema_and_example_follow_from_the_shape() -> None:
    """The OpenAPI document shows nested arrays and a row of zeros."""
    contract = graph_contract(VECTOR)
    assert contract.example_row == [0.0, 0.0]
    assert contract.row_json_schema() == {
        "type": "array",
        "items": {"type": "number"},
        "minItems": 2,
        "maxItems": 2,
    }
    assert contract.quotes_per_row == 0
    assert graph_contract(LABEL).quotes_per_row is None


def test_ready_tensor_without_rows_may_stand_beside_one_with_rows() -> None:
    """As an empty list of axes does, where the graph says that inputs need not be alike."""
    contract = graph_contract(
        TensorSpec("x", "FP32", (2, 3)), TensorSpec("axes", "INT64", (0,)), is_batchable=False
    )
    tensors: Tensors = {"x": np.zeros((2, 3), np.float32), "axes": np.zeros(0, np.int64)}
    assert contract.check_tensors(tensors) == 1


def test_ready_tensors_without_any_row_are_refused() -> None:
    """There is nothing to predict."""
    contract = graph_contract(TensorSpec("x", "FP32", (-1, 3)))
    with pytest.raises(InputInvalid):
        contract.check_tensors({"x": np.zeros((0, 3), np.float32)})
