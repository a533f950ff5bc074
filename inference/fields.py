"""Say for one member of a row which JSON values it takes, as a pydantic-core schema.

Each field has a single expectation, a sentence that stands in every violation of it. It is built
from the contract alone, so an answer never quotes what the caller sent.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import ml_dtypes
import numpy as np
from pydantic_core import CoreSchema, core_schema

from inference.manifest import Feature
from inference.signature import VARIABLE, TensorSpec
from inference.tensors import BYTES, Datatype

Takes = Literal["number", "integer", "boolean", "text"]
"""What the elements of a field are."""

REQUIRED: Final = object()
"""The default of a field that has none."""

_MAX_LISTED_CHARACTERS = 160
_TEXT_QUOTES = 2
_TAKES: Mapping[str, Takes] = {
    "f": "number",
    "V": "number",
    "i": "integer",
    "u": "integer",
    "b": "boolean",
    "O": "text",
}
_JSON_TYPES: Mapping[str, str] = {
    "f": "number",
    "V": "number",
    "i": "integer",
    "u": "integer",
    "b": "boolean",
}
_NOUNS: Mapping[str, str] = {
    "f": "numbers",
    "V": "numbers",
    "i": "whole numbers",
    "u": "whole numbers",
}
_FITTING: Mapping[str, str] = {
    "number": "fV",
    "integer": "fViu",
    "boolean": "bfViu",
    "string": "O",
    "category": "O",
}
"""Kinds of graph input that each type of feature can be packed into; V is that of BF16."""


@dataclass(frozen=True, slots=True)
class Field:
    """One member of a row: a named feature, or a whole graph input."""

    name: str
    schema: CoreSchema
    expectation: str
    json_schema: dict[str, object]
    default: object = REQUIRED
    quotes: int | None = 0
    """Quotation marks that a value has in JSON at the least; None where that depends on it."""

    is_scalar: bool = False
    """A graph input without axis 0, which takes one value for all rows."""

    takes: Takes = "number"
    missing: object = REQUIRED
    """What stands for a cell without a value, where a row is one of a table: the default, else NaN
    where that is taken; `REQUIRED` is neither.
    """


def fits(feature: Feature, datatype: Datatype) -> bool:
    """Say whether values of the feature's type can stand in a tensor of the datatype."""
    is_fitting = datatype.dtype.kind in _FITTING[feature.type]
    return is_fitting and (datatype.is_float or not feature.allow_nan)


def feature_field(feature: Feature, datatype: Datatype) -> Field:
    """Build the field of a named feature that fits the datatype."""
    return Field(
        feature.name,
        schema=_feature_schema(feature, datatype),
        expectation=_expectation(feature, datatype),
        json_schema=_feature_json_schema(feature),
        default=REQUIRED if feature.default is None else feature.default,
        quotes=_TEXT_QUOTES if datatype.name == BYTES else 0,
        takes=feature.type if feature.type in ("number", "integer", "boolean") else "text",
        missing=_missing(feature),
    )


def input_field(spec: TensorSpec) -> Field:
    """Build the field of a whole graph input: nested lists of the shape of one row."""
    schema = element_schema(spec.type)
    for size in reversed(spec.row_shape):
        is_variable = size == VARIABLE
        schema = core_schema.list_schema(
            schema,
            min_length=1 if is_variable else size,
            max_length=None if is_variable else size,
            strict=True,
            fail_fast=True,
        )
    return Field(
        spec.name,
        schema=schema,
        expectation=_input_expectation(spec),
        json_schema=nested_json_schema(spec),
        quotes=None if spec.datatype == BYTES else 0,
        is_scalar=not spec.shape,
        takes=_TAKES[spec.type.dtype.kind],
        missing=np.nan if spec.type.is_float else REQUIRED,
    )


def _missing(feature: Feature) -> object:
    if feature.default is not None:
        return feature.default
    return np.nan if feature.allow_nan else REQUIRED


def _feature_schema(feature: Feature, datatype: Datatype) -> CoreSchema:
    match feature.type:
        case "number" | "integer":
            return _number_schema(feature, datatype)
        case "boolean":
            return core_schema.bool_schema(strict=True)
        case "string":
            return text_schema()
        case "category":
            return core_schema.literal_schema(feature.categories or [])


def _number_schema(feature: Feature, datatype: Datatype) -> CoreSchema:
    low, high = number_limits(datatype)
    low = low if feature.minimum is None else max(low, feature.minimum)
    high = high if feature.maximum is None else min(high, feature.maximum)
    if datatype.is_integer:
        return _integer_schema(int(low), int(high))
    if feature.allow_nan:
        return _open_number_schema(feature, float(number_limits(datatype)[1]))
    number = core_schema.float_schema(
        strict=True, allow_inf_nan=False, ge=float(low), le=float(high)
    )
    if feature.type == "number":
        return number
    return core_schema.no_info_after_validator_function(_whole, number)


def _whole(value: float) -> float:
    """Pass a whole number; `multiple_of` of pydantic-core takes 1e-9 for one."""
    if not value.is_integer():
        raise ValueError
    return value


def _open_number_schema(feature: Feature, largest: float) -> CoreSchema:
    """Take NaN and infinity too, which the bounds of a `float_schema` would refuse."""
    low = -np.inf if feature.minimum is None else float(feature.minimum)
    high = np.inf if feature.maximum is None else float(feature.maximum)

    def check(value: float) -> float:
        is_too_large = abs(value) > largest and not np.isinf(value)
        if value < low or value > high or is_too_large:
            raise ValueError
        return value

    return core_schema.no_info_after_validator_function(
        check, core_schema.float_schema(strict=True, allow_inf_nan=True)
    )


def _integer_schema(low: int, high: int) -> CoreSchema:
    """Take whole numbers exactly, 3.0 among them, but no text and no booleans."""
    from_float = core_schema.chain_schema(
        [
            core_schema.float_schema(strict=True, allow_inf_nan=False),
            core_schema.int_schema(ge=low, le=high),
        ]
    )
    return core_schema.union_schema(
        [core_schema.int_schema(strict=True, ge=low, le=high), from_float], mode="left_to_right"
    )


def text_schema() -> CoreSchema:
    """Take text that is valid Unicode: a length bound makes pydantic-core look at the characters.

    Threat: a lone surrogate, which JSON can spell, would fail inside ONNX Runtime as a 500.
    """
    return core_schema.str_schema(strict=True, min_length=0)


def element_schema(datatype: Datatype) -> CoreSchema:
    """Take one element of a datatype, whatever the model."""
    if datatype.name == BYTES:
        return _binarytext_schema()
    if datatype.is_float:
        return core_schema.float_schema(strict=True, allow_inf_nan=True)
    if datatype.is_integer:
        low, high = number_limits(datatype)
        return _integer_schema(int(low), int(high))
    return core_schema.bool_schema(strict=True)


def _binarytext_schema() -> CoreSchema:
    """Take text, or ``{"b64": "..."}`` as TensorFlow Serving spells binary strings."""
    member = core_schema.typed_dict_field(core_schema.str_schema(strict=True), required=True)
    encoded = core_schema.typed_dict_schema({"b64": member}, extra_behavior="forbid", strict=True)
    return core_schema.union_schema(
        [
            text_schema(),
            core_schema.no_info_before_validator_function(
                _single_member,
                core_schema.no_info_after_validator_function(_decode_base64, encoded),
            ),
        ],
        mode="left_to_right",
    )


def _single_member(value: object) -> object:
    """Refuse a crowded object at once. Threat: each unknown member would become one error."""
    if isinstance(value, dict) and len(value) != 1:
        raise ValueError
    return value


def _decode_base64(value: dict[str, str]) -> str:
    return base64.b64decode(value["b64"], validate=True).decode()


def number_limits(datatype: Datatype) -> tuple[float, float]:
    """Find the least and the greatest finite number of a datatype."""
    if datatype.is_float:
        largest = float(ml_dtypes.finfo(datatype.dtype).max)  # type: ignore[no-untyped-call]
        return -largest, largest
    if datatype.is_integer:
        info = np.iinfo(datatype.dtype)
        return int(info.min), int(info.max)
    return 0, 0


def _expectation(feature: Feature, datatype: Datatype) -> str:
    match feature.type:
        case "boolean":
            return "must be true or false"
        case "string":
            return "must be a string"
        case "category":
            categories = ", ".join(feature.categories or [])
            if len(categories) <= _MAX_LISTED_CHARACTERS:
                return f"must be one of: {categories}"
            return f"must be one of the {len(feature.categories or [])} categories of the contract"
        case "integer":
            return f"must be a whole number{_range(feature, datatype)}"
        case "number":
            finite = "" if feature.allow_nan else "finite "
            return f"must be a {finite}number{_range(feature, datatype)}"


def _range(feature: Feature, datatype: Datatype) -> str:
    match (feature.minimum, feature.maximum):
        case (None, None):
            return f" that {datatype.name} can hold"
        case (low, None):
            return f" of at least {low}"
        case (None, high):
            return f" of at most {high}"
        case (low, high):
            return f" from {low} to {high}"


def _input_expectation(spec: TensorSpec) -> str:
    kind = spec.type.dtype.kind
    noun = _NOUNS.get(kind, "booleans" if kind == "b" else "strings")
    if not spec.row_shape:
        return f"must be one of the {noun} that {spec.datatype} can hold"
    shape = ", ".join("any" if size == VARIABLE else str(size) for size in spec.row_shape)
    return f"must be lists of shape [{shape}] of {noun} that {spec.datatype} can hold"


def _feature_json_schema(feature: Feature) -> dict[str, object]:
    schema: dict[str, object] = {"type": feature.type}
    if feature.categories is not None:
        schema = {"type": "string", "enum": list(feature.categories)}
    for keyword in ("minimum", "maximum", "default"):
        value = getattr(feature, keyword)
        if value is not None:
            schema[keyword] = value
    return schema | described(feature.description, feature.unit)


def nested_json_schema(spec: TensorSpec) -> dict[str, object]:
    """Describe one row of a tensor: nested arrays of its shape."""
    schema: dict[str, object] = {"type": _JSON_TYPES.get(spec.type.dtype.kind, "string")}
    for size in reversed(spec.row_shape):
        schema = {"type": "array", "items": schema}
        if size != VARIABLE:
            schema |= {"minItems": size, "maxItems": size}
    return schema


def described(description: str, unit: str) -> dict[str, object]:
    """Put a description and a unit as JSON Schema keeps them, leaving out what is empty."""
    both = {"description": description, "x-unit": unit}
    return {keyword: text for keyword, text in both.items() if text}
