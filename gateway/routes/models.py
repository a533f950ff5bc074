"""Tell a caller which models it may use and how (V1: TensorFlow Serving and KServe)."""

from typing import Annotated

from fastapi import APIRouter, Depends

from auth.principal import Principal
from auth.scopes import MODELS_READ, PREDICT
from gateway.dependencies import Opened, Unqueried, require
from gateway.model_documents import (
    ModelMetadata,
    ModelNames,
    ModelStatusDocument,
    model_metadata,
    model_status,
    usable_names,
    version_of_label,
)
from gateway.routes.responses import problem_responses
from inference.errors import ModelNotFound

router = APIRouter(prefix="/v1/models", tags=["models"])

Reader = Annotated[Principal, Depends(require(MODELS_READ, PREDICT))]


@router.get("", operation_id="listModels", responses=problem_responses())
async def list_models(caller: Reader, _query: Unqueried, opened: Opened) -> ModelNames:
    """List the models that the caller may use."""
    return ModelNames(models=usable_names(opened.registry.models(), caller.models))


@router.get("/{model}", operation_id="getModel", responses=problem_responses(404))
async def read_model(caller: Reader, model: str, opened: Opened) -> ModelStatusDocument:
    """Read the state of a model and of its versions."""
    _check_granted(caller, model)
    return model_status(opened.registry, model)


@router.get("/{model}/metadata", operation_id="getModelMetadata", responses=problem_responses(404))
async def read_metadata(caller: Reader, model: str, opened: Opened) -> ModelMetadata:
    """Read a model's signature, its contract and an example."""
    _check_granted(caller, model)
    return model_metadata(opened.registry, model)


@router.get(
    "/{model}/versions/{version}", operation_id="getModelVersion", responses=problem_responses(404)
)
async def read_version(
    *, caller: Reader, model: str, version: str, opened: Opened
) -> ModelStatusDocument:
    """Read the state of one version of a model."""
    _check_granted(caller, model)
    return model_status(opened.registry, model, version)


@router.get(
    "/{model}/versions/{version}/metadata",
    operation_id="getModelVersionMetadata",
    responses=problem_responses(404),
)
async def read_version_metadata(
    *, caller: Reader, model: str, version: str, opened: Opened
) -> ModelMetadata:
    """Read the signature, the contract and an example of one version."""
    _check_granted(caller, model)
    return model_metadata(opened.registry, model, version)


@router.get(
    "/{model}/labels/{label}", operation_id="getModelLabel", responses=problem_responses(404)
)
async def read_label(
    *, caller: Reader, model: str, label: str, opened: Opened
) -> ModelStatusDocument:
    """Read the state of the version that a label stands for."""
    _check_granted(caller, model)
    version = version_of_label(opened.registry, model, label)
    return model_status(opened.registry, model, version)


@router.get(
    "/{model}/labels/{label}/metadata",
    operation_id="getModelLabelMetadata",
    responses=problem_responses(404),
)
async def read_label_metadata(
    *, caller: Reader, model: str, label: str, opened: Opened
) -> ModelMetadata:
    """Read the signature, the contract and an example of the version that a label stands for."""
    _check_granted(caller, model)
    version = version_of_label(opened.registry, model, label)
    return model_metadata(opened.registry, model, version)


def _check_granted(caller: Principal, model: str) -> None:
    """Pass if the model is granted; else it is as if it were not there.

    Raises:
        ModelNotFound: it is not granted.
    """
    if not caller.may_use(model):
        raise ModelNotFound(model)
