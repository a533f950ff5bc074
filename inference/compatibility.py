"""Find what callers of a running version would stumble over in the next one.

A change is compatible when every request that the running version takes is taken, means the same
and is answered in the same form. What answers say is another matter: that is why there is a new
version.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from inference.manifest import Feature, Manifest, OutputDoc
from inference.signature import VARIABLE, Signature, TensorSpec

_WIDER = frozenset({("integer", "number"), ("category", "string")})
"""Types, each with one that takes all of its values."""


class Described(Protocol):
    """What a version takes and gives; a loaded `ModelVersion` is one."""

    @property
    def signature(self) -> Signature:
        """Tell the tensors of the graph."""

    @property
    def manifest(self) -> Manifest:
        """Tell what the author says beyond the graph."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a version that is not loaded takes and gives, from its report and its `model.toml`."""

    signature: Signature
    manifest: Manifest


def compare_contracts(running: Described, candidate: Described) -> list[str]:
    """List what breaks callers of `running`, a sentence each; empty where nothing does."""
    before, after = running.signature, candidate.signature
    return [
        *_inputs(before.inputs, after.inputs),
        *_rows(running.manifest, candidate.manifest),
        *_features(running.manifest.features, candidate.manifest.features),
        *_outputs(before.outputs, after.outputs),
        *_output_units(running.manifest.outputs, candidate.manifest.outputs),
    ]


def _inputs(running: Sequence[TensorSpec], candidate: Sequence[TensorSpec]) -> Iterator[str]:
    after = {spec.name: spec for spec in candidate}
    for spec in running:
        if spec.name not in after:
            yield f"input {spec.name} is gone"
            continue
        yield from _datatype("input", spec, after[spec.name])
        if not _takes(after[spec.name].shape, spec.shape):
            yield _reshaped("input", spec, after[spec.name])
    for name in after.keys() - {spec.name for spec in running}:
        yield f"input {name} is new"


def _outputs(running: Sequence[TensorSpec], candidate: Sequence[TensorSpec]) -> Iterator[str]:
    after = {spec.name: spec for spec in candidate}
    for spec in running:
        if spec.name not in after:
            yield f"output {spec.name} is gone"
            continue
        yield from _datatype("output", spec, after[spec.name])
        if not _takes(spec.shape, after[spec.name].shape):
            yield _reshaped("output", spec, after[spec.name])
    if len(running) == 1 < len(candidate):
        yield "predictions were bare values of one output, and become objects of several"
    kept = [spec.name for spec in running if spec.name in after]
    if [spec.name for spec in candidate][: len(kept)] != kept:
        yield "the outputs come in another order"


def _rows(running: Manifest, candidate: Manifest) -> Iterator[str]:
    before, after = running.batching.max_queue_rows, candidate.batching.max_queue_rows
    if after < before:
        yield f"a request takes {after} rows at most, {before} before"
    if candidate.unit_weight != running.unit_weight:
        yield f"a row costs {candidate.unit_weight} units, {running.unit_weight} before"


def _features(running: Sequence[Feature], candidate: Sequence[Feature]) -> Iterator[str]:
    if bool(running) != bool(candidate):
        before, after = ("features", "inputs") if running else ("inputs", "features")
        yield f"rows consist of {after}, of {before} before"
        return
    features = {feature.name: feature for feature in candidate}
    for feature in running:
        if feature.name in features:
            yield from _feature(feature, features[feature.name])
        else:
            yield f"feature {feature.name} is gone"
    names = {feature.name for feature in running}
    for name, feature in features.items():
        if name not in names and feature.default is None:
            yield f"feature {name} is new and has no default"
    if _columns(running, set(features)) != _columns(candidate, names):
        yield "the columns of an input are in another order"


def _feature(running: Feature, candidate: Feature) -> Iterator[str]:
    name = f"feature {running.name}"
    yield from (f"{name} {change}" for change in _values(running, candidate))
    if running.default is not None and candidate.default is None:
        yield f"{name} has no default any more"
    elif running.default is not None and candidate.default != running.default:
        yield f"{name} has another default"
    if running.unit and candidate.unit != running.unit:
        yield f"{name} is in {_said(candidate.unit)}, in {running.unit} before"


def _values(running: Feature, candidate: Feature) -> Iterator[str]:
    is_wider = (running.type, candidate.type) in _WIDER
    if running.type != candidate.type and not is_wider:
        yield f"is of type {candidate.type}, {running.type} before"
    if _bound(candidate.minimum, -math.inf) > _bound(running.minimum, -math.inf):
        yield f"has the minimum {candidate.minimum}, {_said(running.minimum)} before"
    if _bound(candidate.maximum, math.inf) < _bound(running.maximum, math.inf):
        yield f"has the maximum {candidate.maximum}, {_said(running.maximum)} before"
    lost = sorted(set(running.categories or ()) - set(candidate.categories or ()))
    if lost and not is_wider:
        yield f"takes no {lost[0]!r} any more"
    if running.allow_nan and not candidate.allow_nan:
        yield "takes no NaN any more"


def _output_units(running: Sequence[OutputDoc], candidate: Sequence[OutputDoc]) -> Iterator[str]:
    units = {output.name: output.unit for output in candidate}
    for output in running:
        unit = units.get(output.name, "")
        if output.unit and unit != output.unit:
            yield f"output {output.name} is in {_said(unit)}, in {output.unit} before"


def _columns(features: Sequence[Feature], names: set[str]) -> dict[str, list[str]]:
    """List the features of each input in their order, as callers who send tensors count them."""
    columns: dict[str, list[str]] = {}
    for feature in features:
        if feature.name in names:
            columns.setdefault(feature.input, []).append(feature.name)
    return columns


def _datatype(what: str, running: TensorSpec, candidate: TensorSpec) -> Iterator[str]:
    if running.datatype != candidate.datatype:
        yield f"{what} {running.name} is {candidate.datatype}, {running.datatype} before"


def _takes(wide: Sequence[int], narrow: Sequence[int]) -> bool:
    """Say whether every shape that `narrow` stands for is one that `wide` stands for."""
    return len(wide) == len(narrow) and all(
        size in (VARIABLE, other) for size, other in zip(wide, narrow, strict=True)
    )


def _reshaped(what: str, running: TensorSpec, candidate: TensorSpec) -> str:
    return f"{what} {running.name} has shape {list(candidate.shape)}, {list(running.shape)} before"


def _bound(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _said(value: object) -> str:
    return "none" if value is None or value == "" else str(value)
