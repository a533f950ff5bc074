"""Compile a model's contract, once, from its manifest and its graph."""

import math
from collections.abc import Sequence

from pydantic_core import SchemaValidator, ValidationError

from inference.contract import Contract
from inference.errors import InferenceError
from inference.fields import REQUIRED, Field, feature_field, fits, input_field
from inference.manifest import Feature, Manifest
from inference.packing import FeaturePacking, InputPacking, Packing
from inference.signature import VARIABLE, Signature, TensorSpec
from inference.tensor_rules import ColumnRules
from inference.tensors import BYTES

_MAX_FEATURE_RANK = 2
_MAX_EXAMPLE_ELEMENTS = 256


def compile_contract(signature: Signature, manifest: Manifest) -> Contract:
    """Compile the contract of named features, or of the graph alone where there are none.

    Raises:
        ValueError: manifest and graph do not fit together; the message says where.
    """
    _check_rows_fit_the_queue(signature, manifest)
    _check_outputs(signature, manifest)
    fields, packings = (
        _of_features(signature, manifest.features) if manifest.features else _of_graph(signature)
    )
    contract = Contract(
        signature,
        fields=fields,
        packings=packings,
        rules=_rules_of(signature, manifest.features, fields),
        is_named=bool(manifest.features),
        max_rows=manifest.batching.max_queue_rows,
        output_docs=manifest.outputs,
        example_row=_example(signature, manifest),
    )
    if manifest.example is not None:
        _check_example(contract)
    return contract


def _of_graph(signature: Signature) -> tuple[list[Field], list[Packing]]:
    fields = [input_field(spec) for spec in signature.inputs]
    packings: list[Packing] = [
        InputPacking(spec, field) for spec, field in zip(signature.inputs, fields, strict=True)
    ]
    return fields, packings


def _of_features(
    signature: Signature, features: Sequence[Feature]
) -> tuple[list[Field], list[Packing]]:
    specs = {spec.name: spec for spec in signature.inputs}
    columns: dict[str, list[Feature]] = {name: [] for name in specs}
    for feature in features:
        if feature.input not in specs:
            raise ValueError(f"feature {feature.name}: the graph has no input {feature.input}")
        columns[feature.input].append(feature)
    for name, members in columns.items():
        _check_columns(specs[name], members)
    fields = [feature_field(feature, specs[feature.input].type) for feature in features]
    for field in fields:
        _check_default(field)
    packings: list[Packing] = [
        FeaturePacking(specs[name], [feature.name for feature in members])
        for name, members in columns.items()
    ]
    return fields, packings


def _rules_of(
    signature: Signature, features: Sequence[Feature], fields: Sequence[Field]
) -> list[ColumnRules]:
    """Compile the rules of each input that has features; `fields` are theirs, in their order."""
    rules = []
    for spec in signature.inputs:
        chosen = [
            (feature, field)
            for feature, field in zip(features, fields, strict=False)
            if feature.input == spec.name
        ]
        if chosen:
            own_features, own_fields = zip(*chosen, strict=True)
            rules.append(ColumnRules(spec, own_features, own_fields))
    return rules


def _check_columns(spec: TensorSpec, features: Sequence[Feature]) -> None:
    if not features:
        raise ValueError(f"no feature goes to input {spec.name}")
    if not 1 <= len(spec.shape) <= _MAX_FEATURE_RANK:
        raise ValueError(f"input {spec.name} has no columns that features could be")
    width = math.prod(spec.row_shape)
    if width not in {VARIABLE, len(features)}:
        raise ValueError(f"input {spec.name} has {width} columns, but {len(features)} features")
    for feature in features:
        if not fits(feature, spec.type):
            raise ValueError(
                f"feature {feature.name}: {feature.type} does not go into {spec.datatype}"
            )


def _check_default(field: Field) -> None:
    if field.default is REQUIRED:
        return
    try:
        SchemaValidator(field.schema).validate_python(field.default)
    except ValidationError:
        raise ValueError(f"default of feature {field.name} {field.expectation}") from None


def _check_outputs(signature: Signature, manifest: Manifest) -> None:
    unknown = {output.name for output in manifest.outputs} - set(signature.output_names)
    if unknown:
        raise ValueError(f"the graph has no output {min(unknown)}")


def _check_rows_fit_the_queue(signature: Signature, manifest: Manifest) -> None:
    rows = max((spec.shape[0] for spec in signature.inputs if spec.shape), default=1)
    if rows > manifest.batching.max_queue_rows:
        raise ValueError(f"the graph takes {rows} rows at once: raise batching.max_queue_rows")


def _example(signature: Signature, manifest: Manifest) -> object:
    """Give the manifest's example, else a row of zeros where that is small."""
    is_bare = not manifest.features and len(signature.inputs) == 1
    if manifest.example is not None:
        name = signature.inputs[0].name
        return manifest.example.get(name) if is_bare else manifest.example
    if manifest.features or not all(map(_has_small_rows, signature.inputs)):
        return None
    rows = {spec.name: _zeros(spec) for spec in signature.inputs}
    return rows[signature.inputs[0].name] if is_bare else rows


def _check_example(contract: Contract) -> None:
    try:
        contract.rows_to_tensors([contract.example_row] * contract.fewest_rows)
    except InferenceError as error:
        raise ValueError(f"the example is not a row of the contract: {error}") from None


def _has_small_rows(spec: TensorSpec) -> bool:
    sizes = [abs(size) for size in spec.row_shape]
    return bool(spec.shape) and math.prod(sizes) <= _MAX_EXAMPLE_ELEMENTS


def _zeros(spec: TensorSpec) -> object:
    """Nest zeros, false or empty text in the shape of a row; a variable size is taken as 1."""
    zeros: object = "" if spec.datatype == BYTES else spec.type.dtype.type(0).item()
    for size in reversed(spec.row_shape):
        zeros = [zeros] * abs(size)
    return zeros
