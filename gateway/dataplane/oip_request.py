"""Read the JSON of an inference request: which tensors come, and which are wanted back.

Source: Open Inference Protocol 2, "Inference Request"; Triton, "Binary Tensor Data Extension",
"Classification Extension" and "Schedule Policy Extension". Members that are not known are ignored,
as those documents ask; what would change the answer and is not served here is refused.
"""

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar

from gateway.dataplane.json_document import has_more_members, parse_numbers, parse_strict
from gateway.errors import RequestInvalid
from inference.registry import ModelVersion

MAX_ID_CHARACTERS: Final = 1024
_MAX_RANK: Final = 64
_MAX_MEMBERS: Final = 512
_LARGE_BYTES: Final = 16_384
_MICROSECONDS: Final = 1_000_000
_MAX_NUMBER: Final = 2**63 - 1
UNSERVED: Final = ("sequence_id", "shared_memory_region")

_Kind = TypeVar("_Kind")


class GivenInput(NamedTuple):
    """What a request says of one input tensor."""

    name: str
    datatype: str
    shape: list[int]
    data: object
    """Values as JSON; None where they are binary."""

    binary_bytes: int | None
    """How many bytes of the binary part are this tensor's."""

    is_numeric: bool = False
    """Whether the data is known to hold no text and no truth value."""


class WantedOutput(NamedTuple):
    """What a request says of one output tensor."""

    name: str
    is_binary: bool
    classes: int
    """How many of the highest classes are wanted instead of the tensor; 0 is the tensor."""


@dataclass(slots=True)
class InferRequest:
    """The JSON part of one request."""

    inputs: list[GivenInput] = field(default_factory=list)
    outputs: list[WantedOutput] | None = None
    """None: all of them."""

    is_binary: bool = False
    """How outputs come back of which the request says nothing."""

    id: str | None = None
    timeout_seconds: float | None = None


def read_request(content: bytes, model: ModelVersion) -> InferRequest:
    """Read the JSON part of a request for a model.

    Raises:
        JsonInvalid: it is not one JSON document.
        RequestInvalid: it is not a request of the protocol, or asks for what is not served.
    """
    if has_more_members(content, _MAX_MEMBERS):
        raise RequestInvalid("the request has more members than any that is served")
    document = parse_numbers(content, _MAX_MEMBERS) if len(content) >= _LARGE_BYTES else None
    is_numeric = document is not None
    if document is None:
        document = parse_strict(content)
    if not isinstance(document, dict):
        raise RequestInvalid("the request must be a JSON object")
    parameters = _parameters(document, "the request")
    is_binary = _optional(parameters, "binary_data_output", bool) or False
    _optional(parameters, "priority", int)
    return InferRequest(
        inputs=[
            _input(item, place, is_numeric=is_numeric)
            for place, item in _items(document, "inputs", most=len(model.signature.inputs))
        ],
        outputs=[
            _output(item, place, is_binary=is_binary)
            for place, item in _items(document, "outputs", most=len(model.signature.outputs))
        ]
        or None,
        is_binary=is_binary,
        id=_id(document),
        timeout_seconds=_timeout(parameters),
    )


def _items(document: dict[str, Any], member: str, *, most: int) -> list[tuple[str, dict[str, Any]]]:
    """List the objects under a member, each with the words that name its place."""
    items = document.get(member)
    if items is None:
        return []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items[: most + 1]):
        raise RequestInvalid(f"{member} must be a list of objects")
    if len(items) > most:
        raise RequestInvalid(f"{member} has more tensors than the model")
    if len({str(item.get("name")) for item in items}) < len(items):
        raise RequestInvalid(f"{member} has a tensor twice")
    return [(f"{member}[{number}]", item) for number, item in enumerate(items)]


def _input(item: dict[str, Any], place: str, *, is_numeric: bool) -> GivenInput:
    parameters = _parameters(item, place)
    binary_bytes = _optional(parameters, "binary_data_size", int)
    data = item.get("data")
    if (data is None) == (binary_bytes is None):
        raise RequestInvalid(f"{place} must have exactly one of data and binary_data_size")
    shape = item.get("shape")
    if not isinstance(shape, list) or len(shape) > _MAX_RANK:
        raise RequestInvalid(f"{place} must have a shape, a list of whole numbers")
    if any(type(size) is not int or size < 0 for size in shape):
        raise RequestInvalid(f"{place} must have a shape of whole numbers that are not negative")
    name = _text(item, "name", place)
    datatype = _text(item, "datatype", place)
    return GivenInput(name, datatype, shape, data, binary_bytes, is_numeric)


def _output(item: dict[str, Any], place: str, *, is_binary: bool) -> WantedOutput:
    parameters = _parameters(item, place)
    own = _optional(parameters, "binary_data", bool)
    classes = _optional(parameters, "classification", int) or 0
    return WantedOutput(_text(item, "name", place), is_binary if own is None else own, classes)


def _parameters(item: dict[str, Any], place: str) -> dict[str, Any]:
    """Return the parameters of a request or a tensor."""
    parameters = item.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise RequestInvalid(f"the parameters of {place} must be an object")
    for name in UNSERVED:
        if parameters.get(name):
            raise RequestInvalid(f"the parameter {name} is not served")
    return parameters


def _optional(parameters: dict[str, Any], name: str, kind: type[_Kind]) -> _Kind | None:
    """Return a parameter of a kind; numbers are whole and not negative."""
    value = parameters.get(name)
    if value is None:
        return None
    is_out = isinstance(value, int) and not 0 <= value <= _MAX_NUMBER
    if type(value) is not kind or is_out:
        expected = "true or false" if kind is bool else "a whole number that is not negative"
        raise RequestInvalid(f"the parameter {name} must be {expected}")
    return value


def _text(item: dict[str, Any], name: str, place: str) -> str:
    value = item.get(name)
    if not isinstance(value, str):
        raise RequestInvalid(f"{place} must have a {name}, a string")
    return value


def _id(document: dict[str, Any]) -> str | None:
    value = document.get("id")
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > MAX_ID_CHARACTERS:
        raise RequestInvalid(f"id must be a string of at most {MAX_ID_CHARACTERS} characters")
    return value


def _timeout(parameters: dict[str, Any]) -> float | None:
    """Return the `timeout`, which comes in microseconds; 0 is none."""
    timeout_us = _optional(parameters, "timeout", int)
    return timeout_us / _MICROSECONDS if timeout_us else None
