"""Describe the rows of requests and answers as JSON Schema, for the OpenAPI document.

Source: JSON Schema 2020-12, as OpenAPI 3.1 embeds it.
"""

from collections.abc import Iterable, Sequence

from inference.fields import REQUIRED, Field, described, nested_json_schema, number_limits
from inference.manifest import OutputDoc
from inference.signature import TensorSpec
from inference.tensors import BYTES, Datatype


def row_schema(fields: Iterable[Field]) -> dict[str, object]:
    """Describe a row that is an object with a member for each field."""
    properties = {field.name: field.json_schema for field in fields}
    required = [field.name for field in fields if field.default is REQUIRED]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def prediction_schema(
    outputs: Sequence[TensorSpec], docs: Iterable[OutputDoc]
) -> dict[str, object]:
    """Describe one row of an answer: bare for one output, else an object with all of them."""
    by_name = {doc.name: doc for doc in docs}
    properties = {spec.name: _output_schema(spec, by_name.get(spec.name)) for spec in outputs}
    if len(properties) == 1:
        return next(iter(properties.values()))
    return {"type": "object", "properties": properties, "required": list(properties)}


def element_json_schema(datatype: Datatype) -> dict[str, object]:
    """Describe one element of a tensor, with the numbers that its datatype holds."""
    if datatype.name == BYTES:
        return {"type": "string"}
    if not (datatype.is_float or datatype.is_integer):
        return {"type": "boolean"}
    low, high = number_limits(datatype)
    kind = "number" if datatype.is_float else "integer"
    return {"type": kind, "minimum": low, "maximum": high}


def _output_schema(spec: TensorSpec, doc: OutputDoc | None) -> dict[str, object]:
    schema = nested_json_schema(spec)
    return schema if doc is None else schema | described(doc.description, doc.unit)
