"""Describe the server and its models in the words of the Open Inference Protocol.

Source: Open Inference Protocol 2, "Server Metadata" and "Model Metadata"; Triton, the extensions
"Model Configuration", "Statistics" and "Model Repository". Members without a value are left out.
"""

from importlib import metadata
from typing import Any, Literal

from pydantic import BaseModel, Field

from inference.registry import ModelStatus, ModelVersion, Registry
from inference.signature import TensorSpec
from inference.statistics import ModelStatistics, Took
from inference.tensors import BYTES

EXTENSIONS = [
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "statistics",
]


class ServerDocument(BaseModel):
    """Who serves, and what it can beyond the protocol."""

    name: str = "tollgate"
    version: str = Field(default_factory=lambda: metadata.version("tollgate"))
    extensions: list[str] = EXTENSIONS


class TensorDocument(BaseModel):
    """An input or output; -1 is a variable size, and the rows are included."""

    name: str
    datatype: str
    shape: list[int]


class ModelDocument(BaseModel):
    """What a model takes and gives."""

    name: str
    versions: list[str]
    platform: str = Field(description="What executes it: here, or the engine that has the model")
    inputs: list[TensorDocument]
    outputs: list[TensorDocument]


class ReadyDocument(BaseModel):
    """A model, or a version of it, that can answer."""

    name: str
    ready: Literal[True] = True


class ConfigTensor(BaseModel):
    """An input or output of a configuration; without the rows where the model batches."""

    name: str
    data_type: str
    dims: list[int]


class ConfigDocument(BaseModel):
    """A model's configuration as Triton writes it; load generators read `max_batch_size`."""

    name: str
    platform: str
    backend: str
    max_batch_size: int = Field(description="Rows of one run; 0: the model has no rows to batch")
    input: list[ConfigTensor]
    output: list[ConfigTensor]


class Duration(BaseModel):
    """How often something happened, and how long it took in all."""

    count: int
    ns: int


class InferenceStatistics(BaseModel):
    """Times of requests; preparing tensors is part of `compute_infer`, and nothing is cached."""

    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration
    cache_hit: Duration
    cache_miss: Duration


class BatchStatistics(BaseModel):
    """Times of the runs of one size."""

    batch_size: int
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration


class StatisticsDocument(BaseModel):
    """What one version did in this worker since it was loaded."""

    name: str
    version: str
    last_inference: int = Field(description="Milliseconds since the epoch; 0 before the first")
    inference_count: int
    execution_count: int
    inference_stats: InferenceStatistics
    batch_stats: list[BatchStatistics]


class StatisticsList(BaseModel):
    """What several versions did."""

    model_stats: list[StatisticsDocument]


class IndexEntry(BaseModel):
    """One version of the repository."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str


def model_document(model: ModelVersion, registry: Registry) -> ModelDocument:
    """Describe a version, and name all that are ready of its model."""
    versions = [other.version for other in registry.models() if other.name == model.name]
    return ModelDocument(
        name=model.name,
        versions=versions,
        platform=model.platform,
        inputs=[_tensor(spec) for spec in model.signature.inputs],
        outputs=[_tensor(spec) for spec in model.signature.outputs],
    )


def config_document(model: ModelVersion) -> ConfigDocument:
    """Describe how a version is run."""
    has_rows = model.signature.is_batchable
    return ConfigDocument(
        name=model.name,
        platform=model.platform,
        backend=model.backend,
        max_batch_size=model.max_batch_size if has_rows else 0,
        input=[_config_tensor(spec, has_rows=has_rows) for spec in model.signature.inputs],
        output=[_config_tensor(spec, has_rows=has_rows) for spec in model.signature.outputs],
    )


def statistics_document(model: ModelVersion, statistics: ModelStatistics) -> StatisticsDocument:
    """Tell what a version did."""
    unmeasured = Duration(count=statistics.success.count, ns=0)
    return StatisticsDocument(
        name=model.name,
        version=model.version,
        last_inference=statistics.last_inference_ms,
        inference_count=statistics.rows,
        execution_count=statistics.executions,
        inference_stats=InferenceStatistics(
            success=_duration(statistics.success),
            fail=_duration(statistics.fail),
            queue=_duration(statistics.queue),
            compute_input=unmeasured,
            compute_infer=_duration(statistics.compute),
            compute_output=unmeasured,
            cache_hit=Duration(count=0, ns=0),
            cache_miss=Duration(count=0, ns=0),
        ),
        batch_stats=[
            BatchStatistics(
                batch_size=size,
                compute_input=Duration(count=took.count, ns=0),
                compute_infer=_duration(took),
                compute_output=Duration(count=took.count, ns=0),
            )
            for size, took in sorted(statistics.batches.items())
        ],
    )


def index_entry(status: ModelStatus) -> IndexEntry:
    """Tell of one version whether it is ready; why it is not stays with the operator."""
    return IndexEntry(
        name=status.name,
        version=status.version,
        state="READY" if status.is_ready else "UNAVAILABLE",
        reason="" if status.is_ready else "the version did not load",
    )


def _tensor(spec: TensorSpec) -> TensorDocument:
    return TensorDocument(name=spec.name, datatype=spec.datatype, shape=list(spec.shape))


def _config_tensor(spec: TensorSpec, *, has_rows: bool) -> ConfigTensor:
    datatype = "STRING" if spec.datatype == BYTES else spec.datatype
    dims: Any = spec.row_shape if has_rows else spec.shape
    return ConfigTensor(name=spec.name, data_type=f"TYPE_{datatype}", dims=list(dims))


def _duration(took: Took) -> Duration:
    return Duration(count=took.count, ns=took.nanoseconds)
