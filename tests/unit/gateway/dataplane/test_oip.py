"""The codec of the Open Inference Protocol: what it takes and what it answers."""

import json
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from gateway.dataplane.oip import OipCodec
from gateway.errors import OutputNotFinite, RequestInvalid
from inference.errors import ContractViolated
from inference.registry import Registry
from inference.routing import UNNAMED
from tests.unit.gateway.dataplane.oip_requests import (
    X,
    answer,
    binary,
    decode,
    floats,
    given_input,
    loaded_models,
    parts_of,
)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Load a model for each form that tensors can have."""
    with loaded_models(tmp_path_factory.mktemp("models")) as loaded:
        yield loaded


def test_json_is_answered_in_json(registry: Registry) -> None:
    """Names, datatype, shape and flat data; no id that was not given, no null."""
    encoded = answer(registry.resolve("scaled", UNNAMED), {"inputs": [X]})
    assert json.loads(encoded.body) == {
        "model_name": "scaled",
        "model_version": "1",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [2], "data": [2.0, 5.0]}],
    }
    assert encoded.headers == ((b"content-type", b"application/json"),)
    assert encoded.size == len(encoded.body)


def test_id_comes_back(registry: Registry) -> None:
    """Whatever characters it has."""
    encoded = answer(registry.resolve("scaled"), {"id": 'a "\u2713"', "inputs": [X]})
    assert parts_of(encoded)[0]["id"] == 'a "\u2713"'


@pytest.mark.parametrize("data", [[1, 2, 3, 4, 5, 6], [[1, 2, 3], [4, 5, 6]]])
def test_data_is_flat_or_nested(registry: Registry, data: list[object]) -> None:
    """Row-major both ways."""
    document = {"inputs": [given_input("x", [2, 3], data=data)]}
    decoded = decode(registry.resolve("linear"), document)
    assert decoded.tensors["x"].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert decoded.rows == 2


def test_binary_and_json_inputs_mix(registry: Registry) -> None:
    """The bytes stand in the order of the inputs that have some."""
    document = {"inputs": [binary("a", [2], 8), given_input("b", [2], data=[10, 20])]}
    decoded = decode(registry.resolve("sum"), document, floats(1, 2))
    assert decoded.tensors["a"].tolist() == [1, 2]
    assert decoded.tensors["b"].tolist() == [10, 20]


def test_binary_inputs_stand_in_the_order_of_the_request(registry: Registry) -> None:
    """Not in that of the graph."""
    document = {"inputs": [binary("b", [1], 4), binary("a", [1], 4)]}
    decoded = decode(registry.resolve("sum"), document, floats(7), floats(8))
    assert (decoded.tensors["b"].tolist(), decoded.tensors["a"].tolist()) == ([7], [8])


def test_binary_answer_has_its_json_in_front(registry: Registry) -> None:
    """Its length is in a header, and the type is that of bytes."""
    document = {"inputs": [X], "parameters": {"binary_data_output": True}}
    encoded = answer(registry.resolve("parts"), document)
    head, blob = parts_of(encoded)
    assert [output["parameters"] for output in head["outputs"]] == [{"binary_data_size": 8}] * 2
    assert all("data" not in output for output in head["outputs"])
    assert blob == floats(2, 5) + floats(-1, -2.5)
    assert encoded.headers[0] == (b"content-type", b"application/octet-stream")


def test_output_says_itself_whether_it_is_binary(registry: Registry) -> None:
    """Against what the request says of all, and in the order of the request."""
    document = {
        "inputs": [X],
        "parameters": {"binary_data_output": True},
        "outputs": [
            {"name": "negative"},
            {"name": "double", "parameters": {"binary_data": False}},
        ],
    }
    head, blob = parts_of(answer(registry.resolve("parts"), document))
    assert [output["name"] for output in head["outputs"]] == ["negative", "double"]
    assert head["outputs"][1]["data"] == [2.0, 5.0]
    assert blob == floats(-1, -2.5)


def test_raw_body_is_the_only_input(registry: Registry) -> None:
    """A length of 0 says so; the rows follow from the size, and the answer is binary."""
    model = registry.resolve("linear")
    decoded = OipCodec(0).decode(floats(1, 2, 3, 4, 5, 6), model)
    assert (decoded.tensors["x"].shape, decoded.rows) == ((2, 3), 2)
    encoded = OipCodec(0).encode(model.runtime.run(decoded.tensors), decoded, model)
    assert parts_of(encoded)[1] == floats(321, 654)


def test_raw_body_of_text_is_one_element(registry: Registry) -> None:
    """Without a length in front of it."""
    decoded = OipCodec(0).decode("grüß".encode(), registry.resolve("greeting"))
    assert decoded.tensors["text"].tolist() == ["grüß"]


def test_text_is_strings_in_json(registry: Registry) -> None:
    """Both ways."""
    text = {"name": "text", "datatype": "BYTES", "shape": [2], "data": ["a", "ż"]}
    head, _ = parts_of(answer(registry.resolve("greeting"), {"inputs": [text]}))
    assert head["outputs"][0] == {
        "name": "echo",
        "datatype": "BYTES",
        "shape": [2],
        "data": ["a", "ż"],
    }


def test_text_is_framed_in_binary(registry: Registry) -> None:
    """A length of four bytes in front of each element."""
    framed = b"".join(struct.pack("<I", len(word)) + word for word in (b"a", b""))
    text = {
        "name": "text",
        "datatype": "BYTES",
        "shape": [2],
        "parameters": {"binary_data_size": len(framed)},
    }
    document = {"inputs": [text], "parameters": {"binary_data_output": True}}
    assert parts_of(answer(registry.resolve("greeting"), document, framed))[1] == framed


def test_half_precision_goes_both_ways_in_binary(registry: Registry) -> None:
    """JSON has no form for it."""
    halves = np.array([1.5, -2], np.float16).tobytes()
    x = {"name": "x", "datatype": "FP16", "shape": [1, 2], "parameters": {"binary_data_size": 4}}
    document = {"inputs": [x], "parameters": {"binary_data_output": True}}
    assert parts_of(answer(registry.resolve("half"), document, halves))[1] == halves
    with pytest.raises(RequestInvalid, match="ask for it with binary_data"):
        decode(registry.resolve("half"), {"inputs": [x]}, halves)


def test_timeout_is_in_microseconds(registry: Registry) -> None:
    """0 is none."""
    model = registry.resolve("scaled")
    document = {"inputs": [X], "parameters": {"timeout": 1_500_000, "priority": 3}}
    assert decode(model, document).timeout_seconds == 1.5
    assert decode(model, {"inputs": [X], "parameters": {"timeout": 0}}).timeout_seconds is None


def test_highest_classes_are_named(registry: Registry) -> None:
    """Value, index and label where there is one, of every row."""
    document = {
        "inputs": [given_input("x", [2, 3], data=[1, 0, 0, 0, 1, 0])],
        "outputs": [{"name": "y", "parameters": {"classification": 2}}],
    }
    head, _ = parts_of(answer(registry.resolve("labelled"), document))
    assert head["outputs"][0] == {
        "name": "y",
        "datatype": "BYTES",
        "shape": [2, 1],
        "data": ["1.0:0:low", "10.0:0:low"],
    }


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity"])
def test_not_a_number_is_taken_for_a_float(registry: Registry, token: str) -> None:
    """Clients write the bare token."""
    body = json.dumps({"inputs": [X]}).replace("2.5", token).encode()
    decoded = OipCodec().decode(body, registry.resolve("scaled"))
    assert not np.isfinite(decoded.tensors["x"]).all()


def test_output_that_json_cannot_carry_says_what_can(registry: Registry) -> None:
    """Never a silent null; in binary it goes through."""
    model = registry.resolve("reciprocal")
    document: dict[str, Any] = {"inputs": [given_input("x", [1], data=[0])]}
    with pytest.raises(OutputNotFinite) as caught:
        answer(model, document)
    assert caught.value.advice == ": ask for it with binary_data"
    document["parameters"] = {"binary_data_output": True}
    assert np.isinf(np.frombuffer(parts_of(answer(model, document))[1], np.float32)).all()


def test_contract_holds_for_tensors(registry: Registry) -> None:
    """In JSON and in binary."""
    model = registry.resolve("named")
    for document, blobs in (
        ({"inputs": [given_input("x", [1], data=[-1])]}, ()),
        ({"inputs": [binary("x", [1], 4)]}, (floats(-1),)),
    ):
        with pytest.raises(ContractViolated, match="row 0: amount must be"):
            decode(model, document, *blobs)


def test_members_that_are_not_known_are_ignored(registry: Registry) -> None:
    """As the protocol asks of servers."""
    document = {"inputs": [X | {"note": 1}], "parameters": {"mine": "x"}, "extra": [1]}
    assert decode(registry.resolve("scaled"), document).rows == 2
