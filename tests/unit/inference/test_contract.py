"""The contract of named features: good rows become tensors, bad ones are told what is wrong."""

import math

import numpy as np
import pytest

from inference.errors import ContractViolated, InputInvalid, TooManyRows, Violation
from tests.unit.inference.contracts import GOOD_ROW, feature_contract, house_contract

CONTRACT = house_contract()
HUGE_INTEGER = int("9" * 4000)
NUMBER = 'type = "number"'
INTEGER = 'type = "integer"'


def violations_of(instances: object) -> tuple[Violation, ...]:
    """List what the house contract has against rows."""
    with pytest.raises(ContractViolated) as refused:
        CONTRACT.rows_to_tensors(instances)
    return refused.value.violations


def test_rows_are_packed_into_the_inputs_of_the_graph() -> None:
    """Features become the columns of their input, in the order of the manifest."""
    tensors = CONTRACT.rows_to_tensors([{"garden": "no", "rooms": 2, "area": 10}, GOOD_ROW])
    assert tensors["numbers"].tolist() == [[10.0, 2.0], [80.5, 3.0]]
    assert tensors["numbers"].dtype == np.float32
    assert tensors["answer"].tolist() == [["no"], ["yes"]]


@pytest.mark.parametrize("count", [1, 7, 8, 100])
def test_rows_and_columns_give_the_same_tensors(count: int) -> None:
    """Few rows, many rows and columns take different ways to the same tensors."""
    rows = [{"area": 10.0 + row, "rooms": 1 + row % 5, "garden": "no"} for row in range(count)]
    columns = {name: [row[name] for row in rows] for name in ("area", "rooms", "garden")}
    from_rows = CONTRACT.rows_to_tensors(rows)
    from_columns = CONTRACT.columns_to_tensors(columns)
    assert all(np.array_equal(from_rows[name], from_columns[name]) for name in from_rows)
    assert all(tensor.flags.c_contiguous for tensor in from_columns.values())
    assert CONTRACT.row_count(from_rows) == count


@pytest.mark.parametrize(
    ("feature", "value"),
    [
        ("area", math.nan),
        ("area", math.inf),
        ("area", True),
        ("area", "80"),
        ("area", None),
        ("area", [80]),
        ("area", {"b64": "ODA="}),
        ("area", 9.9),
        ("area", 1000.5),
        ("area", HUGE_INTEGER),
        ("rooms", 2.5),
        ("rooms", True),
        ("rooms", "3"),
        ("rooms", 0),
        ("rooms", -HUGE_INTEGER),
        ("garden", "maybe"),
        ("garden", True),
        ("garden", 1),
        ("garden", None),
        ("garden", "\ud800"),
        ("garden", ["yes"]),
    ],
)
def test_value_that_breaks_its_feature_names_row_and_feature(feature: str, value: object) -> None:
    """A violation names the row and the feature, and says what the contract wants."""
    [violation] = violations_of([GOOD_ROW, GOOD_ROW | {feature: value}])
    assert (violation.row, violation.feature) == (1, feature)
    assert violation.message.startswith("must be ")


def test_missing_member_is_named() -> None:
    """A feature without a default must be there."""
    [violation] = violations_of([{"area": 80, "rooms": 3}])
    assert violation == Violation(0, "garden", "is missing")


def test_unknown_member_is_refused_without_its_name() -> None:
    """The name of an unknown member is the caller's input and is not repeated."""
    [violation] = violations_of([{"area": 80, "rooms": 3, "SECRET": 1}])[1:]
    assert violation.feature is None
    assert "SECRET" not in violation.message


@pytest.mark.parametrize("row", [None, 3, "abc", [], [1, 2, 3], True, math.nan])
def test_row_that_is_no_object_is_refused(row: object) -> None:
    """A row of another kind is one violation, not a failure."""
    assert [violation.row for violation in violations_of([GOOD_ROW, row])] == [1]


def test_crowded_row_is_one_violation() -> None:
    """300,000 unknown members are counted, never looked at one by one."""
    [violation] = violations_of([{str(index): 1 for index in range(300_000)}])
    assert violation.message == "has more members than the model has features"


def test_members_are_counted_before_they_are_looked_at() -> None:
    """A row that claims too many members is refused for that, though its content is good."""

    class Crowded(dict[str, object]):
        def __len__(self) -> int:
            return 300_000

    [violation] = violations_of([Crowded(GOOD_ROW)])
    assert violation.message == "has more members than the model has features"


def test_many_bad_rows_give_ten_violations_without_echo() -> None:
    """However much is wrong, the answer has ten entries and nothing of the caller's."""
    contract = feature_contract(NUMBER, max_rows=100_000)
    with pytest.raises(ContractViolated) as refused:
        contract.rows_to_tensors([{"x": "SECRET"}] * 100_000)
    assert len(refused.value.violations) == 10
    assert "SECRET" not in str(refused.value)


def test_rows_after_the_tenth_violation_are_not_looked_at() -> None:
    """Explaining stops at ten: rows beyond are never even asked what they are."""

    class Watched(dict[str, object]):
        looks = 0

        def __len__(self) -> int:
            Watched.looks += 1
            return 5

    contract = feature_contract(NUMBER, max_rows=1000)
    with pytest.raises(ContractViolated):
        contract.rows_to_tensors([Watched() for _ in range(1000)])
    assert Watched.looks <= 2 * 1000 + 2 * 10


@pytest.mark.parametrize("instances", [None, 3, "abc", {}, {"area": 1}, math.nan, True])
def test_instances_that_are_no_list_are_refused(instances: object) -> None:
    """The row form is a list."""
    with pytest.raises(InputInvalid):
        CONTRACT.rows_to_tensors(instances)


def test_no_row_is_refused() -> None:
    """An empty list of rows is nothing to predict."""
    with pytest.raises(InputInvalid):
        CONTRACT.rows_to_tensors([])


def test_too_many_rows_are_refused_before_they_are_checked() -> None:
    """More rows than the queue can hold are a refusal of their own, whatever they contain."""
    contract = feature_contract(NUMBER, max_rows=2)
    with pytest.raises(TooManyRows):
        contract.rows_to_tensors([None] * 3)
    with pytest.raises(TooManyRows):
        contract.columns_to_tensors({"x": [None] * 3})


@pytest.mark.parametrize("columns", [None, 3, "abc", [], [GOOD_ROW], True, {"area": []}])
def test_columns_of_another_kind_are_refused(columns: object) -> None:
    """The column form is an object of lists that are not empty."""
    with pytest.raises(InputInvalid):
        CONTRACT.columns_to_tensors(columns)


def test_columns_of_different_lengths_are_refused() -> None:
    """All columns have the same rows."""
    with pytest.raises(InputInvalid):
        CONTRACT.columns_to_tensors({"area": [80, 90], "rooms": [3], "garden": ["no"]})


def test_unknown_column_is_refused() -> None:
    """A member that is not a feature is refused without its name."""
    with pytest.raises(InputInvalid) as refused:
        CONTRACT.columns_to_tensors({"area": [80], "rooms": [3], "SECRET": ["no"]})
    assert "SECRET" not in refused.value.message


def test_bad_values_in_columns_name_row_and_feature() -> None:
    """Violations in column form are placed as in row form."""
    with pytest.raises(ContractViolated) as refused:
        CONTRACT.columns_to_tensors({"area": [80, "x"], "rooms": [3, 3], "garden": [1, "no"]})
    places = [(violation.row, violation.feature) for violation in refused.value.violations]
    assert places == [(1, "area"), (0, "garden")]


def test_column_that_is_no_list_is_a_violation() -> None:
    """A bare value is not spread over the rows."""
    with pytest.raises(ContractViolated):
        CONTRACT.columns_to_tensors({"area": 80, "rooms": [3], "garden": ["no"]})


def test_default_fills_in_for_a_missing_member() -> None:
    """A feature with a default may be left out, in rows and in columns."""
    contract = feature_contract(f"{NUMBER}\ndefault = 7.5")
    assert contract.rows_to_tensors([{}, {"x": 1}])["in"].tolist() == [[7.5], [1.0]]
    assert contract.rows_to_tensors([{}] * 9)["in"].tolist() == [[7.5]] * 9
    assert contract.columns_to_tensors({})["in"].tolist() == [[7.5]]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1.5])
def test_not_a_number_is_taken_where_the_contract_allows_it(value: float) -> None:
    """A model that imputes may be sent NaN and infinity."""
    contract = feature_contract(f"{NUMBER}\nallow_nan = true")
    [[packed]] = contract.rows_to_tensors([{"x": value}])["in"].tolist()
    assert packed == value or math.isnan(value)


@pytest.mark.parametrize("value", [1e300, True, "nan", None, -1])
def test_allowing_nan_allows_nothing_else(value: object) -> None:
    """Bounds, overflow and types still hold where NaN is allowed."""
    contract = feature_contract(f"{NUMBER}\nallow_nan = true\nminimum = 0")
    with pytest.raises(ContractViolated):
        contract.rows_to_tensors([{"x": value}])


@pytest.mark.parametrize(
    ("kind", "datatype", "value"),
    [
        (NUMBER, "FP32", 1e300),
        (NUMBER, "FP16", 70000),
        (NUMBER, "FP64", HUGE_INTEGER),
        (INTEGER, "UINT8", 300),
        (INTEGER, "UINT8", -1),
        (INTEGER, "UINT8", 256.0),
        (INTEGER, "INT64", 2**63),
        (INTEGER, "INT64", 1e30),
        (INTEGER, "UINT64", HUGE_INTEGER),
        (INTEGER, "FP32", 1e300),
    ],
)
def test_value_that_overflows_its_datatype_is_a_violation(
    kind: str, datatype: str, value: float
) -> None:
    """A number that the graph cannot hold is never wrapped, saturated or turned into infinity."""
    with pytest.raises(ContractViolated):
        feature_contract(kind, datatype).rows_to_tensors([{"x": value}])


@pytest.mark.parametrize(
    ("datatype", "value"),
    [("INT64", 2**63 - 1), ("INT64", -(2**63)), ("UINT64", 2**64 - 1), ("UINT8", 255.0)],
)
def test_integers_arrive_exactly(datatype: str, value: float) -> None:
    """Whole numbers up to the last digit of the datatype are kept, 255.0 among them."""
    tensor = feature_contract(INTEGER, datatype).rows_to_tensors([{"x": value}])["in"]
    assert tensor.tolist() == [[value]]


@pytest.mark.parametrize("value", [2.589e-42, 1e-9, 0.5, 1.0000000001, 2.0000000000000004])
@pytest.mark.parametrize("datatype", ["FP32", "FP64", "INT64"])
def test_almost_whole_number_is_no_integer(datatype: str, value: float) -> None:
    """However near: the schema says integer, and nothing is rounded."""
    with pytest.raises(ContractViolated):
        feature_contract(INTEGER, datatype).rows_to_tensors([{"x": value}])


def test_text_with_half_a_character_is_a_violation() -> None:
    """A lone surrogate is no text that a model could read."""
    contract = feature_contract('type = "string"', "BYTES")
    with pytest.raises(ContractViolated):
        contract.rows_to_tensors([{"x": "a\ud800"}])
    assert contract.rows_to_tensors([{"x": "a\x00ü€"}])["in"].tolist() == [["a\x00ü€"]]


@pytest.mark.parametrize("datatype", ["BOOL", "FP32", "INT64"])
def test_boolean_feature_takes_true_and_false_alone(datatype: str) -> None:
    """Booleans go into numbers; numbers are no booleans."""
    contract = feature_contract('type = "boolean"', datatype)
    assert contract.rows_to_tensors([{"x": True}, {"x": False}])["in"].tolist() == [[1], [0]]
    with pytest.raises(ContractViolated):
        contract.rows_to_tensors([{"x": 1}])


def test_row_is_described_as_json_schema() -> None:
    """The OpenAPI document gets types, ranges, categories and what is required."""
    schema = CONTRACT.row_json_schema()
    assert schema["required"] == ["area", "rooms", "garden"]
    assert schema["additionalProperties"] is False
    properties = schema["properties"]
    assert isinstance(properties, dict)
    assert properties["rooms"] == {"type": "integer", "minimum": 1, "maximum": 20}
    assert properties["garden"] == {"type": "string", "enum": ["no", "yes"]}
    assert CONTRACT.prediction_json_schema() == {"type": "number"}


def test_quotes_of_a_row_are_known() -> None:
    """The codec counts quotation marks to prove that no member stands twice."""
    assert CONTRACT.quotes_per_row == 3 * 2 + 2
    assert CONTRACT.quotes_per_object == CONTRACT.quotes_per_row
