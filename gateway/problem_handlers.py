"""Answer every control-plane failure with a problem document."""

from collections.abc import Iterable, Sequence

import orjson
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from auth.errors import AuthError
from gateway.errors import (
    GatewayError,
    JsonInvalid,
    MethodNotAllowed,
    RouteNotFound,
    TokenError,
)
from gateway.limits.errors import LimitError
from gateway.problems import (
    MAX_FIELD_ERRORS,
    Problem,
    invalid_fields,
    log_problem,
    problem_headers,
    problem_of,
)
from gateway.usage.errors import UsageError
from inference.errors import InferenceError

_HANDLED = (AuthError, GatewayError, InferenceError, LimitError, UsageError, SQLAlchemyError)
_NOT_FOUND = 404
_METHOD_NOT_ALLOWED = 405


def install_problem_handlers(app: FastAPI, routers: Iterable[APIRouter]) -> None:
    """Register one handler for each family of errors, FastAPI's own included.

    `routers` are those of the app: what they serve under a path is what a 405 names.
    """
    app.state.routes = [route for router in routers for route in router.routes]
    for family in (*_HANDLED, Exception):
        app.add_exception_handler(family, _answer_error)
    app.add_exception_handler(TokenError, _answer_token_error)
    app.add_exception_handler(HTTPException, _answer_http_exception)
    app.add_exception_handler(RequestValidationError, _answer_validation)


async def _answer_error(request: Request, error: Exception) -> Response:
    problem = problem_of(error)
    log_problem(error, problem, request.state.request_id)
    return _respond(request, problem)


async def _answer_token_error(request: Request, error: Exception) -> Response:
    """Answer as RFC 6749 section 5.2 says; the row of the table is in the log and the counts."""
    problem = problem_of(error)
    request_id = request.state.request_id
    log_problem(error, problem, request_id)
    request.state.exchange.code = problem.code
    document = {
        "error": error.oauth_error if isinstance(error, TokenError) else "",
        "error_description": problem.detail,
        "request_id": request_id,
    }
    body = orjson.dumps(document)
    response = Response(body, status_code=problem.status)
    headers = dict(problem_headers(problem, request_id, body))
    response.raw_headers = list((headers | {b"content-type": b"application/json"}).items())
    return response


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 0
    if status == _NOT_FOUND:
        return _respond(request, problem_of(RouteNotFound()))
    if status == _METHOD_NOT_ALLOWED:
        return _respond(request, problem_of(MethodNotAllowed(_methods_of(request))))
    return _respond(request, problem_of(JsonInvalid("the body cannot be read as JSON")))


def _methods_of(request: Request) -> str:
    """List what may be asked under a path (RFC 9110 section 10.2.1).

    Each method is a route of its own, and Starlette would name those of the first one alone.
    """
    found: set[str] = set()
    for route in request.app.state.routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            found |= route.methods
    return ", ".join(sorted(found))


async def _answer_validation(request: Request, error: Exception) -> Response:
    """Name at most ten places and never quote a value.

    Threat: FastAPI's default answer repeats the input once per error: 600 kB in, 29 MB out.
    """
    found = error.errors() if isinstance(error, RequestValidationError) else []
    sent = [name for name, _ in request.query_params.multi_items()]
    return _respond(request, _validation_problem(found, parameters=sent))


def _validation_problem(
    found: Sequence[dict[str, object]], *, parameters: Sequence[str]
) -> Problem:
    if any(item["type"] == "json_invalid" for item in found[:1]):
        return problem_of(JsonInvalid("the body cannot be read as JSON"))
    return invalid_fields(
        [_field_error(item, parameters=parameters) for item in found[:MAX_FIELD_ERRORS]]
    )


def _field_error(item: dict[str, object], *, parameters: Sequence[str]) -> dict[str, object]:
    """Say what is wrong where; a name that we do not know is not repeated, but counted out."""
    place = item["loc"] if isinstance(item["loc"], tuple) else ()
    is_extra = item["type"] == "extra_forbidden"
    shown = place[:-1] if is_extra else place
    message = str(item["msg"])
    if is_extra and shown == ("query",):
        message = f"parameter {parameters.index(place[-1]) + 1} is not known here"
    elif is_extra:
        message = "an unknown member stands here"
    return {"location": ".".join(str(part) for part in shown)[:100], "message": message[:200]}


def _respond(request: Request, problem: Problem) -> Response:
    request_id = request.state.request_id
    request.state.exchange.code = problem.code
    body = problem.body(request_id)
    response = Response(body, status_code=problem.status)
    response.raw_headers = problem_headers(problem, request_id, body)
    return response
