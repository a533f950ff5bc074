"""Tell clients of the Open Inference Protocol about the server and its models.

Source: Open Inference Protocol 2, "HTTP/REST"; Triton, the extensions "Model Configuration",
"Statistics" and "Model Repository". As the protocol asks, parameters in the query are ignored.
"""

from typing import Annotated

from fastapi import APIRouter, Depends

from auth.principal import Principal
from auth.scopes import MODELS_READ, PREDICT
from gateway.dependencies import Opened, require
from gateway.oip_documents import (
    ConfigDocument,
    ModelDocument,
    ReadyDocument,
    ServerDocument,
    StatisticsList,
    config_document,
    model_document,
    statistics_document,
)
from gateway.routes.responses import problem_responses
from gateway.services import Services
from inference.errors import ModelNotFound
from inference.registry import ModelVersion
from inference.routing import Selection

router = APIRouter(prefix="/v2", tags=["open inference protocol"])

Reader = Annotated[Principal, Depends(require(MODELS_READ, PREDICT))]
_PROBLEMS = problem_responses(404)


@router.get("", operation_id="getInferenceServer", responses=problem_responses())
async def read_server(_caller: Reader) -> ServerDocument:
    """Read name, version and extensions of the server."""
    return ServerDocument()


@router.get("/models/stats", operation_id="listInferenceStats", responses=problem_responses())
async def list_statistics(caller: Reader, opened: Opened) -> StatisticsList:
    """Read what every model that the caller may use did in the worker that answers."""
    models = [model for model in opened.registry.models() if caller.may_use(model.name)]
    return _statistics(opened, models)


@router.get("/models/{model}", operation_id="getInferenceModel", responses=_PROBLEMS)
async def read_model(caller: Reader, model: str, opened: Opened) -> ModelDocument:
    """Read what a model takes and gives, and which versions there are."""
    return model_document(_resolved(opened, caller, model), opened.registry)


@router.get("/models/{model}/ready", operation_id="getInferenceModelReady", responses=_PROBLEMS)
async def read_readiness(caller: Reader, model: str, opened: Opened) -> ReadyDocument:
    """Answer 200 where the model can answer, 503 where it did not load."""
    return ReadyDocument(name=_resolved(opened, caller, model).name)


@router.get("/models/{model}/config", operation_id="getInferenceModelConfig", responses=_PROBLEMS)
async def read_config(caller: Reader, model: str, opened: Opened) -> ConfigDocument:
    """Read how a model is run."""
    return config_document(_resolved(opened, caller, model))


@router.get("/models/{model}/stats", operation_id="getInferenceModelStats", responses=_PROBLEMS)
async def read_statistics(caller: Reader, model: str, opened: Opened) -> StatisticsList:
    """Read what the versions of a model did in the worker that answers."""
    _resolved(opened, caller, model)
    return _statistics(opened, [other for other in opened.registry.models() if other.name == model])


@router.get(
    "/models/{model}/versions/{version}",
    operation_id="getInferenceVersion",
    responses=_PROBLEMS,
)
async def read_version(
    *, caller: Reader, model: str, version: str, opened: Opened
) -> ModelDocument:
    """Read what one version takes and gives."""
    return model_document(_resolved(opened, caller, model, version=version), opened.registry)


@router.get(
    "/models/{model}/versions/{version}/ready",
    operation_id="getInferenceVersionReady",
    responses=_PROBLEMS,
)
async def read_version_readiness(
    *, caller: Reader, model: str, version: str, opened: Opened
) -> ReadyDocument:
    """Answer 200 where the version can answer, 503 where it did not load."""
    return ReadyDocument(name=_resolved(opened, caller, model, version=version).name)


@router.get(
    "/models/{model}/versions/{version}/config",
    operation_id="getInferenceVersionConfig",
    responses=_PROBLEMS,
)
async def read_version_config(
    *, caller: Reader, model: str, version: str, opened: Opened
) -> ConfigDocument:
    """Read how one version is run."""
    return config_document(_resolved(opened, caller, model, version=version))


@router.get(
    "/models/{model}/versions/{version}/stats",
    operation_id="getInferenceVersionStats",
    responses=_PROBLEMS,
)
async def read_version_statistics(
    *, caller: Reader, model: str, version: str, opened: Opened
) -> StatisticsList:
    """Read what one version did in the worker that answers."""
    return _statistics(opened, [_resolved(opened, caller, model, version=version)])


def _resolved(
    opened: Services, caller: Principal, name: str, *, version: str | None = None
) -> ModelVersion:
    """Find a version that the caller may use.

    Raises:
        ModelNotFound: there is none, or it is not granted: the same answer.
        ModelNotReady: it did not load.
    """
    if not caller.may_use(name):
        raise ModelNotFound(name, version)
    return opened.registry.resolve(name, Selection(version=version))


def _statistics(opened: Services, models: list[ModelVersion]) -> StatisticsList:
    predictor = opened.predictor
    return StatisticsList(
        model_stats=[
            statistics_document(model, predictor.batcher_of(model).statistics) for model in models
        ]
    )
