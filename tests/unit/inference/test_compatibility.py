"""A new version must take what the running one takes, and answer in the same form."""

from pathlib import Path

import pytest

from inference.compatibility import Terms, compare_contracts
from inference.loading import load_version
from inference.manifest import parse_manifest
from inference.settings import InferenceSettings
from inference.signature import Signature, TensorSpec
from inference.version_files import VersionPath
from tests.unit.inference.onnx_models import linear_model
from tests.unit.inference.test_registry import put

X = TensorSpec("x", "FP32", (-1, 3))
Y = TensorSpec("y", "FP32", (-1, 1))
Z = TensorSpec("z", "FP32", (-1,))

FEATURES = """
[[features]]
name = "area"
input = "x"
type = "number"
unit = "square metres"
minimum = 20
maximum = 200
allow_nan = true

[[features]]
name = "rooms"
input = "x"
type = "integer"
default = 2

[[features]]
name = "heating"
input = "x"
type = "category"
categories = ["gas", "none"]

[[outputs]]
name = "y"
unit = "euros"
"""


def terms(
    *,
    inputs: tuple[TensorSpec, ...] = (X,),
    outputs: tuple[TensorSpec, ...] = (Y,),
    manifest: str = "",
) -> Terms:
    """Describe a version."""
    signature = Signature(inputs, outputs, is_batchable=True)
    return Terms(signature, parse_manifest("m", manifest.encode()))


def features(old: str = "", new: str = "") -> Terms:
    """Describe the version with features, one line changed."""
    assert old in FEATURES
    return terms(manifest=FEATURES.replace(old, new, 1))


def test_same_contract_is_compatible() -> None:
    """Retraining changes weights, not callers."""
    assert compare_contracts(features(), features()) == []


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        (terms(inputs=(Z,)), ["input x is gone", "input z is new"]),
        (terms(inputs=(X, Z)), ["input z is new"]),
        (
            terms(inputs=(TensorSpec("x", "FP64", (-1, 3)),)),
            ["input x is FP64, FP32 before"],
        ),
        (
            terms(inputs=(TensorSpec("x", "FP32", (-1, 4)),)),
            ["input x has shape [-1, 4], [-1, 3] before"],
        ),
        (
            terms(inputs=(TensorSpec("x", "FP32", (1, 3)),)),
            ["input x has shape [1, 3], [-1, 3] before"],
        ),
        (terms(outputs=(Z,)), ["output y is gone"]),
        (
            terms(outputs=(TensorSpec("y", "INT64", (-1, 1)),)),
            ["output y is INT64, FP32 before"],
        ),
        (
            terms(outputs=(TensorSpec("y", "FP32", (-1,)),)),
            ["output y has shape [-1], [-1, 1] before"],
        ),
        (
            terms(outputs=(Y, Z)),
            ["predictions were bare values of one output, and become objects of several"],
        ),
        (
            terms(manifest="[batching]\nmax_queue_rows = 100"),
            ["a request takes 100 rows at most, 4096 before"],
        ),
        (terms(manifest="unit_weight = 2"), ["a row costs 2 units, 1 before"]),
        (features(), ["rows consist of features, of inputs before"]),
    ],
)
def test_breaking_change_of_the_graph_is_named(candidate: Terms, expected: list[str]) -> None:
    """Whatever makes a request fail that was answered before, or answers in another form."""
    assert compare_contracts(terms(), candidate) == expected


@pytest.mark.parametrize(
    "candidate",
    [
        terms(inputs=(TensorSpec("x", "FP32", (-1, -1)),)),
        terms(manifest='description = "Another."'),
        terms(manifest="[batching]\nmax_batch_size = 1\nmax_queue_rows = 5000"),
    ],
)
def test_wider_graph_is_compatible(candidate: Terms) -> None:
    """What takes more takes all that was taken."""
    assert compare_contracts(terms(), candidate) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"area"', '"size"', "feature area is gone"),
        ('"area"', '"size"', "feature size is new and has no default"),
        ('"number"', '"integer"', "feature area is of type integer, number before"),
        ("minimum = 20", "minimum = 30", "feature area has the minimum 30, 20 before"),
        ("maximum = 200", "maximum = 100", "feature area has the maximum 100, 200 before"),
        ("default = 2", "minimum = 1", "feature rooms has the minimum 1, none before"),
        ("default = 2", "", "feature rooms has no default any more"),
        ("default = 2", "default = 3", "feature rooms has another default"),
        ('"gas", "none"', '"none"', "feature heating takes no 'gas' any more"),
        ("allow_nan = true", "", "feature area takes no NaN any more"),
        ("square metres", "square feet", "feature area is in square feet, in square metres before"),
        ("euros", "dollars", "output y is in dollars, in euros before"),
    ],
)
def test_breaking_change_of_a_feature_is_named(old: str, new: str, expected: str) -> None:
    """Also one that keeps every request valid and changes what it means."""
    if new == '"integer"':
        candidate = terms(manifest=FEATURES.replace(old, new, 1).replace("allow_nan = true", "", 1))
    else:
        candidate = features(old, new)
    assert expected in compare_contracts(features(), candidate)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("minimum = 20", "minimum = 10"),
        ("maximum = 200", ""),
        ('"integer"', '"number"'),
        ('"gas", "none"', '"gas", "heat pump", "none"'),
        ('type = "category"\ncategories = ["gas", "none"]', 'type = "string"'),
    ],
)
def test_wider_feature_is_compatible(old: str, new: str) -> None:
    """Wider bounds and types take whatever was taken."""
    assert compare_contracts(features(), features(old, new)) == []


def test_new_feature_with_a_default_is_compatible() -> None:
    """Callers who do not know it leave it out."""
    more = '[[features]]\nname = "floor"\ninput = "x"\ntype = "integer"\ndefault = 0\n'
    assert compare_contracts(features(), terms(manifest=FEATURES + more)) == []


def test_columns_in_another_order_are_named() -> None:
    """Callers who send tensors would have their values mistaken for others."""
    parts = FEATURES.split("[[features]]")
    turned = "[[features]]".join([parts[0], parts[2], parts[1], parts[3]])
    assert compare_contracts(features(), terms(manifest=turned)) == [
        "the columns of an input are in another order"
    ]


def test_outputs_in_another_order_are_named() -> None:
    """Clients of gRPC count outputs."""
    before, after = terms(outputs=(Y, Z)), terms(outputs=(Z, Y))
    assert compare_contracts(before, after) == ["the outputs come in another order"]


def test_loaded_versions_can_be_compared(tmp_path: Path) -> None:
    """A version that is served says itself what it takes."""
    put(tmp_path, linear_model())
    model = load_version(VersionPath(tmp_path, "m", "1"), InferenceSettings())
    assert compare_contracts(model, terms(outputs=(Z,))) == ["output y is gone"]
    model.runtime.close()
