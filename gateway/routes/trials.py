"""Try a challenger beside the champion of a model, and compare them."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends

from auth.principal import Principal
from auth.scopes import MODELS_WRITE
from gateway.bodies import body_of, request_body
from gateway.dependencies import Acting, Opened, Unqueried, require
from gateway.model_documents import model_status
from gateway.routes.responses import problem_responses
from gateway.services import Services
from gateway.trial_schemas import ComparisonDocument, NewTrial, TrialDocument
from inference.errors import ModelNotFound

router = APIRouter(prefix="/v1/models", tags=["models"])

Writer = Annotated[Principal, Depends(require(MODELS_WRITE))]


@router.get("/{model}/comparison", operation_id="compareVersions", responses=problem_responses(404))
async def compare_versions(
    *, caller: Writer, _query: Unqueried, model: str, opened: Opened
) -> ComparisonDocument:
    """Compare the champion and the challenger of the latest trial, by what all workers saw of it.

    What this worker saw is in it; what others did is at most two seconds old.
    """
    _check_served(caller, model, opened)
    await opened.trials.hand_in()
    trial = await opened.models.get_trial(model)
    return ComparisonDocument.of(trial, await opened.models.get_counts(trial))


@router.put(
    "/{model}/trial",
    operation_id="beginTrial",
    openapi_extra=request_body(NewTrial),
    responses=problem_responses(404, 409, 413, 422),
)
async def begin_trial(
    *,
    caller: Writer,
    model: str,
    wish: Annotated[NewTrial, Depends(body_of(NewTrial))],
    opened: Opened,
    actor: Acting,
) -> TrialDocument:
    """Route the requests of a model between its champion and a challenger, and count anew.

    It is in force with the next request on every worker. The same wish once more changes nothing.
    A challenger that would break what callers rely on is refused, unless forced.
    """
    # Threat: a challenger of another contract answers requests that the champion would have taken.
    _check_served(caller, model, opened)
    if not wish.force:
        await opened.publisher.check_contract(model, wish.challenger)
    return TrialDocument.of(await opened.models.begin_trial(model, wish.wish, actor=actor))


@router.delete(
    "/{model}/trial",
    operation_id="endTrial",
    status_code=HTTPStatus.NO_CONTENT,
    responses=problem_responses(404),
)
async def end_trial(*, caller: Writer, model: str, opened: Opened, actor: Acting) -> None:
    """Let the champion answer everything again; what the trial showed stays until the next one."""
    _check_served(caller, model, opened)
    await opened.models.end_trial(model, actor=actor)


def _check_served(caller: Principal, model: str, opened: Services) -> None:
    """Pass if the model is there and granted; else it is as if it were not there.

    Raises:
        ModelNotFound: it is not.
    """
    if not caller.may_use(model):
        raise ModelNotFound(model)
    model_status(opened.registry, model)
