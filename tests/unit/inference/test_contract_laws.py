"""The law of contracts: any JSON value is taken, or refused with one of two errors."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.errors import ContractViolated, InputInvalid, Violation
from inference.signature import TensorSpec
from tests.unit.inference.contracts import (
    GOOD_ROW,
    feature_contract,
    graph_contract,
    house_contract,
)

surrogates = st.characters(categories=["Cs"])
texts = st.text(max_size=4) | surrogates | st.sampled_from(["area", "rooms", "x", "b64", "yes"])
scalars = (
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.integers(min_value=10**300, max_value=10**400)
    | texts
    | st.sampled_from([0, 1, 2**63, 2**64, 1e300])
)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
near_rows = st.fixed_dictionaries(
    {"area": json_values | st.just(80), "rooms": json_values | st.just(3)},
    optional={"garden": json_values | st.just("yes"), "more": json_values},
)
near_columns = st.fixed_dictionaries(
    {name: st.lists(json_values | st.just(value), max_size=3) for name, value in GOOD_ROW.items()}
)

CONTRACTS = {
    "house": house_contract(),
    "text": feature_contract('type = "string"', "BYTES"),
    "open number": feature_contract('type = "number"\nallow_nan = true\nminimum = 0'),
    "integer": feature_contract('type = "integer"\ndefault = 3', "INT32"),
    "vector": graph_contract(TensorSpec("x", "FP16", (-1, 2))),
    "sequence": graph_contract(TensorSpec("x", "INT64", (-1, -1))),
    "label": graph_contract(TensorSpec("x", "BYTES", (-1,))),
    "two": graph_contract(TensorSpec("x", "BOOL", (-1,)), TensorSpec("area", "FP32", (-1, -1))),
    "scalar": graph_contract(TensorSpec("x", "FP64", ()), is_batchable=False),
}


def is_taken(convert: Callable[[object], object], value: object) -> bool:
    """Convert, and say whether that went well; any other exception fails the test."""
    violations: tuple[Violation, ...] = ()
    try:
        convert(value)
    except ContractViolated as violated:
        violations = violated.violations
    except InputInvalid:
        return False
    else:
        return True
    assert 1 <= len(violations) <= 10
    return False


@pytest.mark.parametrize("name", CONTRACTS)
@settings(max_examples=150, deadline=None)
@given(value=json_values | st.lists(json_values | near_rows, min_size=1, max_size=10))
def test_any_value_is_taken_or_refused_as_rows(name: str, value: object) -> None:
    """No JSON value as `instances` brings another exception to light."""
    is_taken(CONTRACTS[name].rows_to_tensors, value)


@pytest.mark.parametrize("name", CONTRACTS)
@settings(max_examples=150, deadline=None)
@given(value=json_values | near_columns)
def test_any_value_is_taken_or_refused_as_columns(name: str, value: object) -> None:
    """No JSON value as `inputs` brings another exception to light."""
    is_taken(CONTRACTS[name].columns_to_tensors, value)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "area": st.sampled_from([10, 80.5, 9, True, "80"]),
                "rooms": st.sampled_from([1, 3.0, 2.5, 21, None]),
                "garden": st.sampled_from(["yes", "no", "maybe"]),
            }
        ),
        min_size=1,
        max_size=12,
    )
)
def test_many_rows_are_taken_exactly_where_each_is(rows: list[object]) -> None:
    """The faster way of many rows decides as the way of a single row does."""
    contract = CONTRACTS["house"]
    each = [is_taken(contract.rows_to_tensors, [row]) for row in rows]
    assert is_taken(contract.rows_to_tensors, rows) == all(each)
