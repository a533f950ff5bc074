"""Bodies of the control plane are parsed strictly and described in place."""

import json
from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError

from gateway.bodies import parse_body, request_body
from gateway.errors import JsonInvalid
from gateway.schemas import NewKey, NewPlan


def test_body_is_parsed_by_its_schema() -> None:
    """A good body becomes a value."""
    assert parse_body(b'{"name": "x", "burst": 3}', NewPlan) == NewPlan(name="x", burst=3)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"name=x",
        b'{"name": "x"',
        b'{"name": "x"} {}',
        b'{"name": "x", "name": "y"}',
        b'{"name": "\\ud800"}',
        b'{"name": "\xff"}',
        '{"name": "x"}'.encode("utf-16"),
        b'{"burst": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
    ],
)
def test_what_is_not_one_json_document_is_refused(body: bytes) -> None:
    """Every parser of the world must read a body alike, or it is not read."""
    with pytest.raises(JsonInvalid):
        parse_body(body, NewPlan)


@pytest.mark.parametrize("body", [b"null", b"[]", b'"x"', b'{"name": NaN}', b'{"name": null}'])
def test_what_the_schema_refuses_names_its_place(body: bytes) -> None:
    """Each error says where in the body it is, and does not repeat what was there."""
    with pytest.raises(RequestValidationError) as caught:
        parse_body(body, NewPlan)
    for item in caught.value.errors():
        assert item["loc"][0] == "body"
        assert "input" not in item


def test_described_body_refers_to_nothing() -> None:
    """Nested schemas stand in place, since nobody registers them in the document."""
    description: dict[str, Any] = request_body(NewKey)
    text = json.dumps(description)
    assert "$ref" not in text
    assert "$defs" not in text
    assert "requests_per_second" in text
