"""Describe the server and its models in the messages of the Open Inference Protocol.

Source: Open Inference Protocol 2, "GRPC"; Triton, "Model configuration extension".
"""

from collections.abc import Sequence
from importlib import metadata
from typing import Final

from inference.errors import ModelNotFound
from inference.protocol.open_inference_pb2 import (
    DataType,
    ModelConfig,
    ModelConfigResponse,
    ModelDynamicBatching,
    ModelInput,
    ModelMetadataResponse,
    ModelOutput,
    RepositoryIndexResponse,
    ServerMetadataResponse,
)
from inference.registry import ModelVersion, Registry
from inference.routing import Selection
from inference.signature import TensorSpec
from inference.tensors import BYTES

NAME: Final = "tollgate"
PLATFORM: Final = "onnxruntime_onnx"
EXTENSIONS: Final = ("model_configuration", "model_repository(unload_dependents)", "statistics")


def server_metadata() -> ServerMetadataResponse:
    """Name this server and what it does beyond the protocol."""
    return ServerMetadataResponse(
        name=NAME, version=metadata.version("tollgate"), extensions=EXTENSIONS
    )


def is_model_ready(registry: Registry, name: str, selection: Selection) -> bool:
    """Say whether a version can answer.

    Raises:
        ModelNotFound: the repository holds no such model or version.
    """
    found = [
        status.is_ready
        for status in registry.statuses()
        if status.name == name and selection.version in (None, status.version)
    ]
    if not found:
        raise ModelNotFound(name, selection.version)
    return any(found)


def model_metadata(registry: Registry, model: ModelVersion) -> ModelMetadataResponse:
    """Describe a version's tensors; -1 is a variable dimension, axis 0 is the rows."""
    return ModelMetadataResponse(
        name=model.name,
        versions=[other.version for other in registry.models() if other.name == model.name],
        platform=PLATFORM,
        inputs=_tensors(model.signature.inputs),
        outputs=_tensors(model.signature.outputs),
    )


def model_config(model: ModelVersion) -> ModelConfigResponse:
    """Describe a version as Triton's load generators read it: their dims leave the rows out."""
    may_batch = model.signature.is_batchable and model.max_batch_size > 1
    first = 1 if may_batch else 0
    return ModelConfigResponse(
        config=ModelConfig(
            name=model.name,
            platform=PLATFORM,
            backend="onnxruntime",
            max_batch_size=model.max_batch_size if may_batch else 0,
            input=[
                ModelInput(name=spec.name, data_type=_type(spec), dims=spec.shape[first:])
                for spec in model.signature.inputs
            ],
            output=[
                ModelOutput(name=spec.name, data_type=_type(spec), dims=spec.shape[first:])
                for spec in model.signature.outputs
            ],
            dynamic_batching=ModelDynamicBatching() if may_batch else None,
        )
    )


def repository_index(
    registry: Registry, granted: frozenset[str] | None, *, ready_only: bool
) -> RepositoryIndexResponse:
    """List the versions of the models that are granted; None is all of them."""
    return RepositoryIndexResponse(
        models=[
            RepositoryIndexResponse.ModelIndex(
                name=status.name,
                version=status.version,
                state="READY" if status.is_ready else "UNAVAILABLE",
                reason="" if status.is_ready else "the version did not load",
            )
            for status in registry.statuses()
            if (granted is None or status.name in granted) and (status.is_ready or not ready_only)
        ]
    )


def _tensors(specs: Sequence[TensorSpec]) -> list[ModelMetadataResponse.TensorMetadata]:
    return [
        ModelMetadataResponse.TensorMetadata(
            name=spec.name, datatype=spec.datatype, shape=spec.shape
        )
        for spec in specs
    ]


def _type(spec: TensorSpec) -> DataType:
    name = "STRING" if spec.datatype == BYTES else spec.datatype
    number: DataType = DataType.Value(f"TYPE_{name}")
    return number
