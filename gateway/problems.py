"""Turn every error into one RFC 9457 problem document: the one table of statuses and codes.

The document has the members of RFC 9457, a stable `code`, the `request_id`, and `error` as a
string, which the clients of the prediction protocols demand. It never quotes what the caller sent.

Threat: an error body that echoes its input reflects secrets into logs and pages, and lets a small
request produce a huge answer.
"""

import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import orjson
from sqlalchemy.exc import SQLAlchemyError

from auth import errors as auth
from auth.api_keys import PATTERN as KEY_PATTERN
from auth.token_text import PATTERN as TOKEN_PATTERN
from gateway import errors as edge
from gateway.limits import errors as limits
from gateway.limits.headers import limit_headers
from gateway.usage import errors as usage
from inference import errors as inference

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_FIELD_ERRORS = 10
MAX_TEXT_CHARACTERS = 300
CONTENT_TYPE = b"application/problem+json"
_QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
_REDUCED_CAPACITY = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"

_SECRET = re.compile(f"{KEY_PATTERN}|{TOKEN_PATTERN}")

logger = logging.getLogger(__name__)

type_of_code = "urn:tollgate:problem:{}".format


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: an error class and how it looks from outside."""

    error: type[Exception]
    status: int
    code: str
    title: str
    type_uri: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """What one failed request is told."""

    status: int
    code: str
    title: str
    detail: str
    type_uri: str
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    errors: Sequence[dict[str, object]] = ()

    def body(self, request_id: str) -> bytes:
        """Serialise the document; at most 8 kB, since every part of it is bounded."""
        document: dict[str, object] = {
            "type": self.type_uri,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
            "error": self.detail,
        }
        if self.errors:
            document["errors"] = self.errors
        return orjson.dumps(document)


TABLE: tuple[Row, ...] = (
    Row(auth.CredentialError, 401, "unauthenticated", "No valid credential"),
    Row(auth.ScopeMissing, 403, "scope_missing", "The credential lacks a scope"),
    Row(auth.ScopeNotGrantable, 403, "scope_not_grantable", "A scope cannot be granted"),
    Row(auth.TestKeyNotGrantable, 403, "test_key_not_grantable", "Test keys are not self-service"),
    Row(auth.BindingNotGrantable, 403, "binding_not_grantable", "A binding cannot be loosened"),
    Row(auth.NetworkNotAllowed, 403, "network_not_allowed", "Not from this network"),
    Row(auth.TenantSuspended, 403, "tenant_suspended", "The tenant is suspended"),
    Row(auth.NotFound, 404, "not_found", "There is no such resource"),
    Row(auth.InvalidChange, 422, "invalid_request", "The request is invalid"),
    Row(auth.SigningKeyMissing, 503, "signing_key_missing", "Nothing can be signed now"),
    Row(auth.CredentialEnded, 409, "credential_ended", "The credential is revoked or has expired"),
    Row(auth.RotationMismatch, 409, "rotation_mismatch", "The rotation does not fit the client"),
    Row(auth.KeysetUnavailable, 503, "keys_unavailable", "Credentials cannot be checked now"),
    Row(auth.PasswordWorkFull, 503, "log_in_busy", "Too many log-ins at once", _REDUCED_CAPACITY),
    Row(edge.RequestInvalid, 400, "bad_request", "The request cannot be read"),
    Row(edge.JsonInvalid, 400, "invalid_json", "The body is not valid JSON"),
    Row(edge.ModelNameInvalid, 404, "model_not_found", "There is no such model"),
    Row(edge.RouteNotFound, 404, "not_found", "There is no such resource"),
    Row(edge.MethodNotAllowed, 405, "method_not_allowed", "The method is not allowed here"),
    Row(edge.CredentialAmbiguous, 400, "credential_ambiguous", "More than one credential"),
    Row(edge.CredentialInUrl, 400, "credential_in_url", "A credential stands in the URL"),
    Row(edge.HeadTooLarge, 431, "head_too_large", "The headers are too large"),
    Row(edge.BodyTooLarge, 413, "body_too_large", "The body is too large"),
    Row(edge.BodyTooSlow, 408, "body_too_slow", "The body did not arrive in time"),
    Row(edge.EncodingUnsupported, 415, "encoding_unsupported", "The body is encoded"),
    Row(
        edge.MediaTypeUnsupported, 415, "media_type_unsupported", "The form of the body is not read"
    ),
    Row(edge.NotAcceptable, 406, "not_acceptable", "No form that is asked for can be written"),
    Row(edge.CursorInvalid, 422, "invalid_cursor", "The cursor is none of this query"),
    Row(edge.AddressLimited, 429, "address_limited", "Too many requests from this address"),
    Row(edge.ClientLimited, 429, "client_limited", "Too many refused attempts for this client"),
    Row(edge.TokenRequestInvalid, 400, "token_request_invalid", "The token request is malformed"),
    Row(edge.ClientRefused, 401, "client_refused", "No valid client authentication"),
    Row(
        edge.ClientNotAllowed, 400, "client_not_allowed", "The client may not ask now or from here"
    ),
    Row(edge.GrantUnsupported, 400, "grant_unsupported", "Only client_credentials is granted"),
    Row(edge.ScopeInvalid, 400, "scope_invalid", "A scope that the client does not hold"),
    Row(edge.TargetInvalid, 400, "target_invalid", "A resource that is not this API"),
    Row(edge.LogInLimited, 429, "log_in_limited", "Too many wrong passwords for this account"),
    Row(
        edge.IdempotencyKeyInvalid,
        400,
        "idempotency_key_invalid",
        "The idempotency key is malformed",
    ),
    Row(
        edge.IdempotencyKeyReused,
        422,
        "idempotency_key_reused",
        "The idempotency key stands for another request",
    ),
    Row(
        edge.IdempotencyInProgress,
        409,
        "idempotency_in_progress",
        "The request with the idempotency key is running",
    ),
    Row(
        edge.IdempotencyAnswerTooLarge,
        409,
        "idempotency_answer_too_large",
        "The answer was too large to be kept",
    ),
    Row(edge.ClientDisconnected, 499, "client_disconnected", "The client left"),
    Row(edge.OutputNotFinite, 422, "output_not_finite", "JSON cannot carry the output"),
    Row(edge.VersionExists, 409, "version_exists", "The version has other files"),
    Row(edge.VersionInUse, 409, "version_in_use", "A label stands for the version"),
    Row(edge.VersionUnavailable, 409, "version_unavailable", "The version cannot be served"),
    Row(edge.ContractIncompatible, 409, "contract_incompatible", "The contract would break"),
    Row(edge.NothingBefore, 409, "nothing_before", "There is no version to return to"),
    Row(edge.RepositoryReadOnly, 503, "repository_read_only", "Models cannot be written"),
    Row(inference.ModelRefused, 422, "model_refused", "The model is not acceptable"),
    Row(inference.VettingFailed, 503, "vetting_failed", "The model could not be checked"),
    Row(edge.TrialNotFound, 404, "trial_not_found", "There is no trial of this model"),
    Row(inference.ModelNotFound, 404, "model_not_found", "There is no such model"),
    Row(inference.ModelNotReady, 503, "model_not_ready", "The model is not ready"),
    Row(inference.InputInvalid, 400, "invalid_input", "The input does not fit the model"),
    Row(inference.ContractViolated, 422, "contract_violated", "Values violate the contract"),
    Row(inference.TooManyRows, 413, "too_many_rows", "Too many rows in one request"),
    Row(inference.QueueFull, 503, "queue_full", "The model is at capacity", _REDUCED_CAPACITY),
    Row(
        inference.EngineUnavailable,
        503,
        "engine_unavailable",
        "The model's engine does not answer now",
        _REDUCED_CAPACITY,
    ),
    Row(inference.DeadlineExceeded, 504, "deadline_exceeded", "The deadline has passed"),
    Row(inference.ModelFailed, 500, "model_failed", "The model failed on this input"),
    Row(limits.RateLimited, 429, "rate_limited", "Too many requests", _QUOTA_EXCEEDED),
    Row(limits.QuotaExceeded, 429, "quota_exceeded", "The quota is used up", _QUOTA_EXCEEDED),
    Row(limits.TooManyInFlight, 429, "too_many_in_flight", "Too many requests at once"),
    Row(usage.AnswersFull, 503, "idempotency_full", "No more answers can be kept for retries"),
    Row(usage.JournalUnavailable, 503, "journal_unavailable", "Usage cannot be recorded now"),
    Row(usage.LedgerUnavailable, 503, "ledger_unavailable", "The bill cannot be read now"),
    Row(usage.UsageNotFound, 404, "not_found", "There is no such resource"),
    Row(usage.PeriodNotFound, 404, "period_not_found", "There is no such month"),
    Row(usage.PeriodNotOver, 409, "period_not_over", "The month is not over"),
    Row(usage.EarlierPeriodOpen, 409, "earlier_period_open", "An earlier month is not closed"),
    Row(usage.RecordNotFound, 404, "record_not_found", "There is no such record"),
    Row(usage.CorrectionExists, 409, "correction_exists", "The id stands for another record"),
    Row(usage.CorrectionRefused, 409, "correction_refused", "The correction cannot be made"),
    Row(usage.RangeInvalid, 422, "invalid_range", "The time range is invalid"),
    Row(SQLAlchemyError, 503, "database_unavailable", "The records cannot be reached now"),
)
UNEXPECTED = Row(Exception, 500, "internal_error", "Something went wrong here")
_BY_CLASS = {row.error: row for row in TABLE}
_DEFAULT_RETRY_SECONDS = 1
_COME_AGAIN = (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS)


def row_of(error: BaseException) -> Row:
    """Find the table's line for an error by its nearest class."""
    for kind in type(error).__mro__:
        row = _BY_CLASS.get(kind)
        if row is not None:
            return row
    return UNEXPECTED


def problem_of(error: BaseException) -> Problem:
    """Describe an error to its caller, with nothing in it that the caller may not know."""
    row = row_of(error)
    return Problem(
        status=row.status,
        code=row.code,
        title=row.title,
        detail=_bounded(_detail(error) or row.title),
        type_uri=row.type_uri or type_of_code(row.code),
        headers=_headers(error, row.status),
        errors=_field_errors(error),
    )


def invalid_fields(errors: Sequence[dict[str, object]]) -> Problem:
    """Describe a body or parameters that the control plane's schemas refuse."""
    return Problem(
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        code="invalid_request",
        title="The request is invalid",
        detail=_bounded("; ".join(f"{item['location']}: {item['message']}" for item in errors[:3])),
        type_uri=type_of_code("invalid_request"),
        errors=errors[:MAX_FIELD_ERRORS],
    )


def problem_headers(problem: Problem, request_id: str, body: bytes) -> list[tuple[bytes, bytes]]:
    """List the headers of an error answer: what it is, how long, whose, and when to come back."""
    return [
        (b"content-type", CONTENT_TYPE),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", request_id.encode()),
        (b"cache-control", b"no-store"),
        *problem.headers,
    ]


def log_problem(error: BaseException, problem: Problem, request_id: str) -> None:
    """Write what the caller is not told to the log, under the request id that the caller has.

    Threat: a key or a token that was pasted into a path comes back in the text of an error, so
    they are cut out of it.
    """
    extra = {"request_id": request_id}
    if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("request %s: %s", request_id, problem.code, exc_info=error, extra=extra)
    elif problem.status > HTTPStatus.INTERNAL_SERVER_ERROR:
        text = _redacted(str(error))
        logger.warning("request %s: %s: %s", request_id, problem.code, text, extra=extra)
    elif logger.isEnabledFor(logging.DEBUG):
        text = _redacted(repr(error))
        logger.debug("request %s: %s: %s", request_id, problem.code, text, extra=extra)


def _redacted(text: str) -> str:
    return _SECRET.sub("[credential]", text)


def noted_problem(error: Exception, request_id: str) -> Problem:
    """Describe the error of a request outside FastAPI, and log it."""
    problem = problem_of(error)
    log_problem(error, problem, request_id)
    return problem


async def send_problem(send: Send, problem: Problem, request_id: str) -> None:
    """Answer one request outside FastAPI with a problem."""
    body = problem.body(request_id)
    headers = problem_headers(problem, request_id, body)
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _detail(error: BaseException) -> str:
    if isinstance(error, inference.ContractViolated):
        return "; ".join(_sentence(item) for item in error.violations[:3])
    if isinstance(error, auth.ScopeMissing):
        return f"this operation needs the scope {error.scope}"
    if isinstance(error, edge.BodyTooLarge):
        return f"the body is over the limit of {error.limit_bytes} bytes"
    if isinstance(error, edge.OutputNotFinite):
        return f"output {error.output} holds NaN or infinity, which JSON cannot carry{error.advice}"
    if isinstance(error, inference.TooManyRows):
        return f"one request may hold at most {error.limit} rows"
    message = getattr(error, "message", "")
    if isinstance(error, inference.ModelRefused):
        message = error.reason
    if isinstance(error, auth.InvalidChange):
        message = f"{error.field}: {message}"
    return message if isinstance(message, str) else ""


def _headers(error: BaseException, status: int) -> list[tuple[bytes, bytes]]:
    if isinstance(error, edge.TokenError):
        return _token_headers(error)
    if status == HTTPStatus.UNAUTHORIZED:
        return [(b"www-authenticate", b'Bearer realm="tollgate"')]
    if isinstance(error, edge.MethodNotAllowed):
        return [(b"allow", error.allowed.encode())]
    if isinstance(error, limits.LimitError):
        retry_after = (b"retry-after", b"%d" % error.retry_after_seconds)
        return [retry_after, *limit_headers(error.policy, error.standing)]
    if status in _COME_AGAIN or isinstance(error, edge.IdempotencyInProgress):
        seconds = getattr(error, "retry_after_seconds", _DEFAULT_RETRY_SECONDS)
        return [(b"retry-after", b"%d" % max(1, int(seconds)))]
    return []


def _token_headers(error: edge.TokenError) -> list[tuple[bytes, bytes]]:
    """Add what RFC 6749 asks for: sections 5.1 and 5.2."""
    headers = [(b"pragma", b"no-cache")]
    if isinstance(error, edge.ClientRefused):
        headers.append((b"www-authenticate", b'Basic realm="tollgate", charset="UTF-8"'))
    return headers


def _field_errors(error: BaseException) -> Sequence[dict[str, object]]:
    if not isinstance(error, inference.ContractViolated):
        return ()
    return [
        {"row": item.row, "feature": item.feature, "message": _bounded(item.message)}
        for item in error.violations[:MAX_FIELD_ERRORS]
    ]


def _sentence(violation: inference.Violation) -> str:
    place = [] if violation.row is None else [f"row {violation.row}"]
    place += [] if violation.feature is None else [f"feature {violation.feature}"]
    return f"{', '.join(place)}: {violation.message}" if place else violation.message


def _bounded(text: str) -> str:
    clean = text.encode("utf-8", "replace").decode()
    return clean if len(clean) <= MAX_TEXT_CHARACTERS else clean[: MAX_TEXT_CHARACTERS - 1] + "…"
