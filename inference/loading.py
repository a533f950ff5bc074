"""Bring one version of a model from its files to a state in which it may answer customers.

Verify, load, compile its contract, warm it up, and check it against its golden samples.
"""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from inference.batch_run import run_alone
from inference.contract import Contract
from inference.contract_compiler import compile_contract
from inference.errors import EngineUnavailable, InferenceError, ModelFailed, ModelRefused
from inference.holders import Holders
from inference.manifest import Manifest, OutputDoc
from inference.metered_runtime import MeteredRuntime
from inference.onnx_runtime import OnnxRuntime
from inference.quickness import has_known_time, measure_quick_rows, measure_run_seconds
from inference.repository import Golden, ModelFiles, parse_files
from inference.runtime import Runtime
from inference.settings import InferenceSettings
from inference.signature import Signature
from inference.tensors import Tensor, Tensors
from inference.verification import verify_model
from inference.version_files import Contents, Digests, VersionPath, open_version
from inference.version_policy import VersionPolicy

logger = logging.getLogger(__name__)

CHANGED: Final = "its files changed after they were checked"

_SAME_ROW_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class ModelVersion:
    """One loaded version of a model, ready to run; equal to itself alone."""

    name: str
    version: str
    signature: Signature
    contract: Contract
    description: str
    unit_weight: int
    """Units billed for each row."""

    max_batch_size: int
    max_queue_rows: int
    manifest: Manifest
    digest: str
    """SHA-256 of the files in the version's folder."""

    outputs: tuple[OutputDoc, ...]
    example: object
    """One row of a request, or None."""

    runtime: Runtime
    platform: str = "onnxruntime_onnx"
    backend: str = "onnxruntime"
    """What executes it, in two words of Triton's."""

    version_policy: VersionPolicy = field(default_factory=VersionPolicy)
    """Which versions of the model are served, as this one's author says."""

    quick_rows: int = 0
    """Rows that are known to run so quickly that a thread would cost more; 0: always a thread."""

    max_lane_rows: int | None = None
    """Rows of one lane that may wait; None is no bound of its own."""

    max_delay_seconds: float = 0.0
    """How long a run that is not full waits for more rows."""

    run_seconds: Mapping[int, float] = field(default_factory=dict)
    """What the warm-up measured: rows of a run to its seconds."""

    warm_up_us: int = 0
    """How long the engine worked until it was ready, in microseconds."""

    holders: Holders = field(default_factory=Holders)
    """The requests that were promised this version."""

    executor: Executor | None = None
    """Where its runs wait, if not with those of all other models."""


Load = Callable[[VersionPath, Contents, InferenceSettings], ModelVersion]
"""Bring a version from a copy of its files to life."""


def load_version(
    path: VersionPath,
    settings: InferenceSettings,
    *,
    expected: Digests | None = None,
    load: Load | None = None,
) -> ModelVersion:
    """Load one version, and only what was vetted where `expected` says what that was.

    `load` brings the copy of the files to life, by default as `load_contents` does.

    Raises:
        ModelRefused: it is not acceptable; the reason says which check it failed.
    """
    with open_version(path) as files:
        contents = files.read()
    if expected is not None and contents.digests() != expected:
        raise ModelRefused(path.name, CHANGED)
    return (load or load_contents)(path, contents, settings)


def load_contents(
    path: VersionPath, contents: Contents, settings: InferenceSettings
) -> ModelVersion:
    """Load a version from a copy of its files.

    Raises:
        ModelRefused: it is not acceptable; the reason says which check it failed.
    """
    files = parse_files(path.name, contents)
    if files.model is None:
        raise ModelRefused(path.name, "an engine has the model, and only a server asks it")
    model = verify_model(path.name, files.model)
    runtime = OnnxRuntime(path.name, files.model, settings)
    try:
        metered = MeteredRuntime(runtime)
        version = _with_run_seconds(prepare_version(path, files, metered))
        limit_seconds = settings.inline_run_microseconds / 1e6
        if limit_seconds and has_known_time(model, runtime.signature, files.manifest):
            version = _with_quick_rows(version, limit_seconds)
        return replace(version, runtime=runtime, warm_up_us=metered.busy_us)
    except (InferenceError, ValueError) as error:
        runtime.close()
        reason = error.reason if isinstance(error, ModelRefused) else str(error)
        raise ModelRefused(path.name, reason) from None


def _with_run_seconds(version: ModelVersion) -> ModelVersion:
    """Measure a warm model whose runs are shared; one that cannot be learns while serving."""
    if version.max_batch_size == 1:
        return version
    run_seconds = measure_run_seconds(
        version.runtime, version.contract, max_batch_size=version.max_batch_size
    )
    return replace(version, run_seconds=run_seconds)


def _with_quick_rows(version: ModelVersion, limit_seconds: float) -> ModelVersion:
    """Measure a warm model; one that fails on zeros made up for it is never quick."""
    try:
        quick_rows = measure_quick_rows(
            version.runtime, version.contract, limit_seconds=limit_seconds
        )
    except InferenceError:
        return version
    return replace(version, quick_rows=quick_rows)


def prepare_version(path: VersionPath, files: ModelFiles, runtime: Runtime) -> ModelVersion:
    """Compile the contract of a runtime's model, warm it and check its golden samples.

    Raises:
        InferenceError, ValueError: it is not acceptable; the message says why.
    """
    manifest = files.manifest
    contract = compile_contract(runtime.signature, manifest)
    may_batch = manifest.batching.max_batch_size > 1 and runtime.signature.is_batchable
    if contract.example_row is not None:
        is_certain = manifest.example is not None
        may_batch = _warm(path, contract, runtime, is_certain=is_certain, may_batch=may_batch)
    if files.golden is not None:
        _check_golden(path.name, files.golden, contract=contract, runtime=runtime)
    return ModelVersion(
        name=path.name,
        version=path.version,
        signature=runtime.signature,
        contract=contract,
        description=manifest.description,
        unit_weight=manifest.unit_weight,
        max_batch_size=manifest.batching.max_batch_size if may_batch else 1,
        max_queue_rows=manifest.batching.max_queue_rows,
        manifest=manifest,
        max_lane_rows=manifest.batching.lane_rows,
        max_delay_seconds=manifest.batching.max_queue_delay_microseconds / 1e6,
        digest=files.digests.version,
        outputs=tuple(manifest.outputs),
        example=contract.example_row,
        runtime=runtime,
        version_policy=manifest.version_policy,
    )


def _warm(
    path: VersionPath,
    contract: Contract,
    runtime: Runtime,
    *,
    is_certain: bool,
    may_batch: bool,
) -> bool:
    """Run the example, and say whether it may be batched: its answer is the same beside a copy.

    A model that mixes its rows (a softmax over axis 0, say) must not share runs between callers.
    An example of zeros, made up from the graph, may fail without consequence.
    """
    rows = [contract.example_row] * contract.fewest_rows
    try:
        alone = _run(runtime, contract.rows_to_tensors(rows))
        if not may_batch:
            return False
        beside = _run(runtime, contract.rows_to_tensors(rows * 2))
    except InferenceError as error:
        if is_certain:
            raise _failure(path.name, "it fails on its example", error) from None
        return may_batch
    is_independent = all(_is_repeated(alone[name], beside[name]) for name in alone)
    if not is_independent:
        logger.warning("%s/%s mixes its rows: batching is off", path.name, path.version)
    return is_independent


def _is_repeated(alone: Tensor, beside: Tensor) -> bool:
    if beside.shape != (2 * len(alone), *alone.shape[1:]):
        return False
    return _is_close(np.concatenate([alone, alone]), beside, _SAME_ROW_TOLERANCE)


def _check_golden(name: str, golden: Golden, *, contract: Contract, runtime: Runtime) -> None:
    try:
        outputs = _run(runtime, contract.rows_to_tensors(golden.instances))
    except InferenceError as error:
        raise _failure(name, "it fails on its golden samples", error) from None
    for output, actual in outputs.items():
        try:
            expected = _expected(golden, output, outputs).reshape(actual.shape)
        except (KeyError, TypeError, ValueError):
            raise ModelRefused(name, f"golden.json: predictions have no {output} like it") from None
        if not _is_close(expected, actual, golden.relative_tolerance):
            raise ModelRefused(name, f"golden.json: {output} differs from the predictions")


def _run(runtime: Runtime, tensors: Tensors) -> Tensors:
    outcome = run_alone(runtime, tensors)
    if isinstance(outcome, InferenceError):
        raise outcome
    return outcome


def _failure(name: str, what: str, error: InferenceError) -> ModelRefused:
    debug = error.debug if isinstance(error, ModelFailed) else str(error)
    return ModelRefused(name, f"{what}: {debug}", may_pass=isinstance(error, EngineUnavailable))


def _expected(golden: Golden, output: str, outputs: Tensors) -> Tensor:
    """Collect one output from predictions, which are bare where the model has one output."""
    rows: list[Any] = golden.predictions
    values = rows if len(outputs) == 1 else [row[output] for row in rows]
    return np.array(values, outputs[output].dtype)


def _is_close(expected: Tensor, actual: Tensor, tolerance: float) -> bool:
    if actual.dtype.kind != "f":
        return bool(np.array_equal(expected, actual))
    scale = np.maximum(np.abs(expected), np.abs(actual))
    with np.errstate(invalid="ignore"):  # infinity less infinity
        is_near = np.abs(expected - actual) <= tolerance * scale
    return bool(np.all(is_near | (expected == actual) | (np.isnan(expected) & np.isnan(actual))))
