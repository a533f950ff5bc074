"""What is no request of the Open Inference Protocol, and never anybody's fault but the caller's."""

import json
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dataplane.oip import OipCodec
from gateway.errors import GatewayError, JsonInvalid, RequestInvalid
from inference.errors import InferenceError, InputInvalid, TooManyRows
from inference.registry import Registry
from tests.unit.gateway.dataplane.oip_requests import (
    X,
    binary,
    decode,
    floats,
    given_input,
    loaded_models,
)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Load a model for each form that tensors can have."""
    with loaded_models(tmp_path_factory.mktemp("models")) as loaded:
        yield loaded


REFUSED: dict[str, object] = {
    "no object": [],
    "no inputs": {},
    "inputs that are no list": {"inputs": {"x": 1}},
    "inputs that are no objects": {"inputs": [1]},
    "input twice": {"inputs": [X, X]},
    "unknown input": {"inputs": [X | {"name": "z"}]},
    "input without a name": {"inputs": [{"shape": [1], "datatype": "FP32", "data": [1]}]},
    "unknown datatype": {"inputs": [X | {"datatype": "FP8"}]},
    "other datatype": {"inputs": [X | {"datatype": "FP64"}]},
    "datatype that is no text": {"inputs": [X | {"datatype": 1}]},
    "other rank": {"inputs": [X | {"shape": [2, 1]}]},
    "shape that is no list": {"inputs": [X | {"shape": 2}]},
    "shape of truth values": {"inputs": [X | {"shape": [True]}]},
    "shape of fractions": {"inputs": [X | {"shape": [2.0]}]},
    "negative size": {"inputs": [X | {"shape": [-1]}]},
    "size beyond 64 bits": {"inputs": [X | {"shape": [2**70]}]},
    "shape of many sizes": {"inputs": [X | {"shape": [1] * 100}]},
    "no row": {"inputs": [X | {"shape": [0], "data": []}]},
    "too few elements": {"inputs": [X | {"shape": [3]}]},
    "nested otherwise": {"inputs": [X | {"data": [[1], [2]]}]},
    "ragged": {"inputs": [X | {"data": [[1, 2], [3]]}]},
    "text for a number": {"inputs": [X | {"data": ["1", "2"]}]},
    "truth value for a number": {"inputs": [X | {"data": [1, True]}]},
    "null for a number": {"inputs": [X | {"data": [1, None]}]},
    "object for a number": {"inputs": [X | {"data": [1, {}]}]},
    "number beyond FP32": {"inputs": [X | {"data": [1, 1e39]}]},
    "whole number beyond doubles": {"inputs": [X | {"data": [1, 10**400]}]},
    "data that is an object": {"inputs": [X | {"data": {"a": 1}}]},
    "no data": {"inputs": [given_input("x", [2])]},
    "data twice": {"inputs": [X | {"parameters": {"binary_data_size": 8}}]},
    "binary size without bytes": {"inputs": [binary("x", [2], 8)]},
    "negative binary size": {"inputs": [binary("x", [2], -8)]},
    "unknown output": {"inputs": [X], "outputs": [{"name": "z"}]},
    "output twice": {"inputs": [X], "outputs": [{"name": "y"}, {"name": "y"}]},
    "outputs that are no objects": {"inputs": [X], "outputs": ["y"]},
    "outputs that are no list": {"inputs": [X], "outputs": {}},
    "parameters that are an empty list": {"inputs": [X], "parameters": []},
    "parameters that are no object": {"inputs": [X], "parameters": [1]},
    "binary_data_output that is text": {"inputs": [X], "parameters": {"binary_data_output": "yes"}},
    "timeout that is text": {"inputs": [X], "parameters": {"timeout": "1"}},
    "negative timeout": {"inputs": [X], "parameters": {"timeout": -1}},
    "timeout beyond 64 bits": {"inputs": [X], "parameters": {"timeout": 2**64}},
    "sequence": {"inputs": [X], "parameters": {"sequence_id": 7}},
    "shared memory": {"inputs": [X | {"parameters": {"shared_memory_region": "r"}}]},
    "id that is a number": {"inputs": [X], "id": 1},
    "id of megabytes": {"inputs": [X], "id": "i" * 2000},
    "many members": {"inputs": [X], "more": {str(n): n for n in range(5000)}},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_request_is_refused(registry: Registry, name: str) -> None:
    """As an argument that is invalid, and nothing else."""
    with pytest.raises((RequestInvalid, InputInvalid)):
        decode(registry.resolve("scaled"), REFUSED[name])


@pytest.mark.parametrize(
    ("size", "blob"),
    [
        pytest.param(8, floats(1, 2)[:4], id="too few bytes"),
        pytest.param(8, floats(1, 2, 3), id="bytes left over"),
        pytest.param(4, floats(1), id="size of another shape"),
    ],
)
def test_binary_part_must_fit(registry: Registry, size: int, blob: bytes) -> None:
    """Sizes, shape and body are checked against each other before anything else."""
    with pytest.raises((RequestInvalid, InputInvalid)):
        decode(registry.resolve("scaled"), {"inputs": [binary("x", [2], size)]}, blob)


@pytest.mark.parametrize("length", [5, 10_000])
def test_json_part_must_be_whole(registry: Registry, length: int) -> None:
    """Neither cut off nor longer than the body."""
    body = json.dumps({"inputs": [X]}).encode()
    with pytest.raises((RequestInvalid, JsonInvalid)):
        OipCodec(length).decode(body, registry.resolve("scaled"))


@pytest.mark.parametrize("token", ["1e999", "-1e400"])
def test_number_beyond_doubles_is_no_infinity(registry: Registry, token: str) -> None:
    """Only who writes Infinity means it."""
    body = json.dumps({"inputs": [X]}).replace("2.5", token).encode()
    with pytest.raises(InputInvalid, match="too large"):
        OipCodec().decode(body, registry.resolve("scaled"))


@pytest.mark.parametrize(
    ("model", "body"),
    [("sum", floats(1)), ("linear", floats(1, 2)), ("linear", b""), ("greeting", b"\xff")],
)
def test_raw_body_that_is_no_input_is_refused(registry: Registry, model: str, body: bytes) -> None:
    """Two inputs, half a row, nothing, and bytes that are no text."""
    with pytest.raises(InputInvalid):
        OipCodec(0).decode(body, registry.resolve(model))


def test_text_has_no_classes(registry: Registry) -> None:
    """There is no highest word."""
    text = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a"]}
    wanted = [{"name": "echo", "parameters": {"classification": 1}}]
    with pytest.raises(InputInvalid, match="no classes"):
        decode(registry.resolve("greeting"), {"inputs": [text], "outputs": wanted})


@pytest.mark.parametrize(("rows", "classes"), [(1, 1001), (1, 2**63 - 1), (66, 1000)])
def test_more_classes_than_are_written_at_once_are_refused(
    registry: Registry, rows: int, classes: int
) -> None:
    """Of a row, and of all rows: each is a text that everybody waits for."""
    x = binary("x", [rows], 4 * rows)
    wanted = [{"name": "y", "parameters": {"classification": classes}}]
    with pytest.raises(RequestInvalid, match="classes"):
        decode(registry.resolve("scaled"), {"inputs": [x], "outputs": wanted}, bytes(4 * rows))


def test_too_many_rows_are_refused(registry: Registry) -> None:
    """The queue's size bounds a request."""
    with pytest.raises(TooManyRows):
        decode(registry.resolve("scaled"), {"inputs": [binary("x", [5000], 20_000)]}, bytes(20_000))


@pytest.mark.parametrize("values", [[b"x"], [b""], [b"-1"], [b"1", b"1"], [b"9" * 30], [b"\xb2"]])
def test_header_that_is_no_length_is_refused(values: Sequence[bytes]) -> None:
    """One number, in digits."""
    with pytest.raises(RequestInvalid):
        OipCodec.of_headers([(b"inference-header-content-length", value) for value in values])


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
TENSOR = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["x", "y", "?"]) | JSON_VALUES,
        "datatype": st.sampled_from(["FP32", "BYTES", "BOOL"]) | JSON_VALUES,
        "shape": st.lists(st.integers(-2, 2**65), max_size=3) | JSON_VALUES,
        "data": JSON_VALUES,
        "parameters": st.dictionaries(
            st.sampled_from(["binary_data_size", "binary_data", "classification"]), JSON_VALUES
        ),
    },
)
REQUEST = st.fixed_dictionaries(
    {"inputs": st.lists(TENSOR, max_size=2) | JSON_VALUES},
    optional={"outputs": st.lists(TENSOR, max_size=2) | JSON_VALUES, "id": JSON_VALUES},
)


@given(document=REQUEST, blob=st.binary(max_size=16), length=st.none() | st.integers(0, 400))
def test_any_request_is_decoded_or_refused(
    registry: Registry, *, document: object, blob: bytes, length: int | None
) -> None:
    """Nothing that a body may hold is anybody's fault but the caller's."""
    head = json.dumps(document).encode()
    try:
        decoded = OipCodec(length).decode(head + blob, registry.resolve("scaled"))
    except (GatewayError, InferenceError):
        return
    assert decoded.rows == len(decoded.tensors["x"]) > 0
