"""Untrusted JSON becomes values or one error, whatever it holds."""

import json
import math

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dataplane.json_document import parse_fast, parse_numbers, parse_strict
from gateway.errors import JsonInvalid

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=20,
)
HOSTILE = {
    "a repeated member": b'{"a": 1, "a": 2}',
    "a repeated member deep inside": b'[{"x": {"a": 1, "b": 2, "a": 1}}]',
    "half a surrogate pair": b'"\\ud800"',
    "five thousand digits": b"1" * 5000,
    "a hundred thousand brackets": b"[" * 100_000,
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "bytes that are not UTF-8": b'"\xff"',
    "two documents": b"{} {}",
    "a byte after the document": b"{}\x00",
    "nothing": b"",
    "a comment": b"{} // done",
    "a trailing comma": b"[1,]",
}


@given(JSON)
def test_both_parsers_read_what_orjson_writes(value: object) -> None:
    """Ordinary documents mean the same to the fast and the strict parser."""
    body = orjson.dumps(value)
    assert parse_strict(body) == value
    assert parse_fast(body) == (None if b"\\" in body else value)


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_document_is_refused_with_one_error(body: bytes) -> None:
    """Nothing but JsonInvalid comes out, and its text stays short."""
    with pytest.raises(JsonInvalid) as caught:
        parse_strict(body)
    assert len(caught.value.message) < 200


def test_repeated_member_is_not_quoted() -> None:
    """The name of the member is input, so the error gives its position only."""
    with pytest.raises(JsonInvalid) as caught:
        parse_strict(b'{"tg_live_secret": 1, "tg_live_secret": 2}')
    assert "secret" not in caught.value.message
    assert "column" in caught.value.message


def test_not_a_number_is_read() -> None:
    """Clients emit bare NaN and Infinity; the contract decides on them."""
    values = parse_strict(b"[NaN, Infinity, -Infinity]")
    assert isinstance(values, list)
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf]


@given(st.binary(max_size=64))
def test_any_bytes_give_a_value_or_the_one_error(body: bytes) -> None:
    """No other exception leaves the parser."""
    try:
        parse_strict(body)
    except JsonInvalid:
        return
    assert parse_fast(b"") is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs": [{"data": [1, 2]}], "inputs": []}',
        b'{"inputs": [{"data": [1], "data": [2]}]}',
        b'{"inputs": [{"data": ["1"]}]}',
        b'{"inputs": [{"data": [{"a": 1}]}]}',
        b'{"inputs": [{"data": [true]}]}',
        b'{"inputs": [{"data": [1, [false]]}], "parameters": {"binary_data_output": true}}',
        b'{"inputs": [{"data": true}]}',
        b'{"id": "\\u0061", "inputs": []}',
        b'{"inputs": [{"data": [NaN]}]}',
        b'{"inputs": ',
    ],
)
def test_body_that_is_not_only_numbers_is_looked_at_closer(body: bytes) -> None:
    """A member twice, text or truth in the data, an escape, NaN, and no document at all."""
    assert parse_numbers(body, 8) is None


def test_body_of_numbers_is_parsed_at_once() -> None:
    """Names, text and truth values outside the data are counted, nested ones too."""
    body = (
        b'{"id": "data", "inputs": [{"name": "rows", "data": [[1, 2.5], [1e3, null]]}],'
        b' "parameters": {"binary": true, "first": false, "r": null}}'
    )
    assert parse_numbers(body, 8) == json.loads(body)
    assert parse_numbers(body, 1) is None


def test_many_levels_are_no_fault_of_ours() -> None:
    """As deep as the fast parser goes, in lists and in objects."""
    deep = b'{"a": ' * 500 + b"[" * 500 + b"]" * 500 + b"}" * 500
    assert parse_numbers(deep, 500) is not None
