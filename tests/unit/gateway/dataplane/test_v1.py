"""The V1 codec: no body means two things, and large ones are judged before they are parsed."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dataplane.v1 import Decoded, V1Codec
from gateway.errors import JsonInvalid, OutputNotFinite, RequestInvalid
from inference.errors import InferenceError
from inference.registry import ModelVersion, Registry
from inference.settings import InferenceSettings

MODELS = Path(__file__).parents[4] / "examples" / "models"
CODEC = V1Codec()


@pytest.fixture(scope="module")
def model() -> Iterator[ModelVersion]:
    """Load the demo model: five numbers and six categories."""
    registry = Registry.load(MODELS, InferenceSettings())
    yield registry.resolve("housing")
    registry.close()


def row_of(model: ModelVersion) -> dict[str, object]:
    """Take the demo's example."""
    assert isinstance(model.contract.example_row, dict)
    return dict(model.contract.example_row)


def body_with_repeated(row: dict[str, object], name: str, value: object) -> bytes:
    """Write a row in which one member stands twice."""
    members = [f"{json.dumps(key)}: {json.dumps(item)}" for key, item in row.items()]
    members.append(f"{json.dumps(name)}: {json.dumps(value)}")
    return f'{{"instances": [{{{", ".join(members)}}}]}}'.encode()


@given(data=st.data())
def test_repeated_member_is_refused_wherever_it_stands(
    model: ModelVersion, data: st.DataObject
) -> None:
    """No choice of rows and members slips past the count of quotes."""
    row = row_of(model)
    name = data.draw(st.sampled_from(sorted(row)))
    dropped = data.draw(st.sampled_from([None, *sorted(row)]))
    value = data.draw(st.sampled_from([row[name], "yes", 1, ""]))
    if dropped not in (None, name):
        row.pop(str(dropped))
    with pytest.raises(JsonInvalid):
        CODEC.decode(body_with_repeated(row, name, value), model)


@given(rows=st.integers(1, 40), spaces=st.booleans(), escaped=st.booleans())
def test_both_parsers_give_the_same_tensors(
    model: ModelVersion, *, rows: int, spaces: bool, escaped: bool
) -> None:
    """How a body is written decides which parser reads it and nothing else."""
    document = {"instances": [row_of(model)] * rows}
    body = json.dumps(document, indent=1 if spaces else None).encode()
    if escaped:
        body = body.replace(b'"instances"', b'"\\u0069nstances"')
    plain = CODEC.decode(orjson.dumps(document), model)
    decoded = CODEC.decode(body, model)
    assert decoded.rows == plain.rows == rows
    assert all(np.array_equal(decoded.tensors[name], plain.tensors[name]) for name in plain.tensors)


def test_columns_give_the_same_tensors_as_rows(model: ModelVersion) -> None:
    """The two forms are two ways to write one request."""
    row = row_of(model)
    columns = {name: [value] * 3 for name, value in row.items()}
    by_rows = CODEC.decode(orjson.dumps({"instances": [row] * 3}), model)
    by_columns = CODEC.decode(orjson.dumps({"inputs": columns}), model)
    assert (by_rows.form, by_columns.form) == ("instances", "inputs")
    for name, tensor in by_rows.tensors.items():
        assert np.array_equal(tensor, by_columns.tensors[name])


def test_large_columns_of_texts_are_no_flood(model: ModelVersion) -> None:
    """Many quotes are not many members."""
    columns = {name: [value] * 4000 for name, value in row_of(model).items()}
    body = orjson.dumps({"inputs": columns})
    assert len(body) > 64 * 1024
    assert CODEC.decode(body, model).rows == 4000


@pytest.mark.parametrize("separator", [": ", ":", "\t :"])
def test_flood_of_members_is_refused_before_parsing(model: ModelVersion, separator: str) -> None:
    """However the members are written."""
    members = ",".join(f'"m{number}"{separator}1' for number in range(20_000))
    with pytest.raises(RequestInvalid, match="more members"):
        CODEC.decode(f'{{"instances": [{{{members}}}]}}'.encode(), model)


@given(body=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_body_is_answered_or_refused_by_name(model: ModelVersion, body: bytes) -> None:
    """No bytes raise anything but the errors that the table of problems knows."""
    with pytest.raises((JsonInvalid, RequestInvalid, InferenceError)):
        CODEC.decode(body, model)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_output_that_json_cannot_carry_is_an_error(model: ModelVersion, value: float) -> None:
    """Never a silent null."""
    outputs = {"y": np.array([1.0, value], np.float32)}
    with pytest.raises(OutputNotFinite) as caught:
        CODEC.encode(outputs, Decoded({}, 2, "instances"), model)
    assert caught.value.output == "y"


def test_text_that_says_null_is_an_answer(model: ModelVersion) -> None:
    """The check for silent nulls looks at numbers, not at words."""
    outputs = {"label": np.array(["null", "b"], object)}
    encoded = CODEC.encode(outputs, Decoded({}, 2, "instances"), model)
    assert encoded.body == b'{"predictions":["null","b"]}'
    assert encoded.size == len(encoded.body)


def test_several_outputs_are_objects_by_row_or_lists_by_name(model: ModelVersion) -> None:
    """Row form answers in rows, column form in columns."""
    outputs = {"a": np.array([1, 2]), "b": np.array(["x", "y"], object)}
    by_rows = orjson.loads(CODEC.encode(outputs, Decoded({}, 2, "instances"), model).body)
    by_columns = orjson.loads(CODEC.encode(outputs, Decoded({}, 2, "inputs"), model).body)
    assert by_rows == {"predictions": [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]}
    assert by_columns == {"outputs": {"a": [1, 2], "b": ["x", "y"]}}
