"""Describe the models that are served: status, signature, contract and an example.

The status document satisfies both families of V1 clients, TensorFlow Serving's and KServe's.
"""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from inference.errors import ModelNotFound
from inference.registry import ModelStatus, ModelVersion, Registry
from inference.routing import Selection
from inference.signature import Signature


class ModelNames(BaseModel):
    """The models that the caller may use."""

    models: list[str]


class StatusOfLoad(BaseModel):
    """How loading a version went."""

    error_code: Literal["OK", "UNAVAILABLE"]
    error_message: str


class VersionStatus(BaseModel):
    """The state of one version, in TensorFlow Serving's words."""

    version: str
    state: Literal["AVAILABLE", "END"]
    status: StatusOfLoad


class ModelStatusDocument(BaseModel):
    """The state of a model and of its versions."""

    name: str
    ready: bool
    model_version_status: list[VersionStatus]


class TensorDocument(BaseModel):
    """An input or output of the graph; -1 is a variable dimension, axis 0 is the rows."""

    name: str
    datatype: str
    shape: list[int]
    description: str = ""
    unit: str = ""


class ContractDocument(BaseModel):
    """What one row of a request and of an answer look like, as JSON Schema."""

    named: bool = Field(description="Rows are objects of named features")
    features: list[str]
    row: dict[str, Any]
    prediction: dict[str, Any]


class ModelMetadata(BaseModel):
    """What a customer must know to call a model."""

    name: str
    version: str
    versions: list[str]
    description: str
    inputs: list[TensorDocument]
    outputs: list[TensorDocument]
    contract: ContractDocument
    units_per_row: int
    example: dict[str, Any] | None = Field(description="A body that `:predict` takes as it stands")


def model_status(registry: Registry, name: str, version: str | None = None) -> ModelStatusDocument:
    """Describe the state of a model, or of one version of it.

    Why a version did not load stays with the operator.

    Raises:
        ModelNotFound: the repository holds no such model or version.
    """
    found = [
        status
        for status in registry.statuses()
        if status.name == name and version in (None, status.version)
    ]
    if not found:
        raise ModelNotFound(name, version)
    return ModelStatusDocument(
        name=name,
        ready=any(status.is_ready for status in found),
        model_version_status=[_version_status(status) for status in found],
    )


def model_metadata(registry: Registry, name: str, version: str | None = None) -> ModelMetadata:
    """Describe the signature and the contract of a model; without a version, of the one served.

    Raises:
        ModelNotFound: the repository holds no such model or version.
        ModelNotReady: it did not load.
    """
    model = registry.resolve(name, Selection(version))
    contract = model.contract
    return ModelMetadata(
        name=model.name,
        version=model.version,
        versions=[other.version for other in registry.models() if other.name == name],
        description=model.description,
        inputs=_inputs(model.signature),
        outputs=_outputs(model),
        contract=ContractDocument(
            named=contract.is_named,
            features=list(contract.feature_names),
            row=contract.row_json_schema(),
            prediction=contract.prediction_json_schema(),
        ),
        units_per_row=model.unit_weight,
        example=example_body(model),
    )


def version_of_label(registry: Registry, name: str, label: str) -> str:
    """Say which version a label of a model stands for.

    Raises:
        ModelNotFound: there is no such model or label.
    """
    version = registry.labels(name).get(label)
    if version is None:
        raise ModelNotFound(name, label)
    return version


def example_body(model: ModelVersion) -> dict[str, Any] | None:
    """Make a body that `:predict` takes as it stands; None where no example is known."""
    row = model.example
    return None if row is None else {"instances": [row] * model.contract.fewest_rows}


def usable_names(models: Sequence[ModelVersion], granted: frozenset[str] | None) -> list[str]:
    """List the names of the models that are granted; None is all of them."""
    names = {model.name for model in models}
    return sorted(names if granted is None else names & granted)


def _version_status(status: ModelStatus) -> VersionStatus:
    if status.is_ready:
        return VersionStatus(
            version=status.version,
            state="AVAILABLE",
            status=StatusOfLoad(error_code="OK", error_message=""),
        )
    return VersionStatus(
        version=status.version,
        state="END",
        status=StatusOfLoad(error_code="UNAVAILABLE", error_message="the version did not load"),
    )


def _inputs(signature: Signature) -> list[TensorDocument]:
    return [
        TensorDocument(name=spec.name, datatype=spec.datatype, shape=list(spec.shape))
        for spec in signature.inputs
    ]


def _outputs(model: ModelVersion) -> list[TensorDocument]:
    notes = {note.name: note for note in model.outputs}
    documents = []
    for spec in model.signature.outputs:
        note = notes.get(spec.name)
        documents.append(
            TensorDocument(
                name=spec.name,
                datatype=spec.datatype,
                shape=list(spec.shape),
                description=note.description if note else "",
                unit=note.unit if note else "",
            )
        )
    return documents
