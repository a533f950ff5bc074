"""Describe the problem documents of the control plane in the OpenAPI document."""

from typing import Any

Responses = dict[int | str, dict[str, Any]]

_MEANINGS = {
    400: "The body is not JSON, or a credential stands in the URL or twice in the headers",
    401: "No credential, or one that is unknown, wrong, expired or revoked",
    403: "The credential lacks the scope, may not grant one, or its tenant is suspended",
    404: "There is no such resource, or it is another tenant's",
    409: "What is to be changed is in no state for it: revoked, expired, retired or refused",
    413: "The body is over the cap",
    415: "The body is of a media type that the operation does not take",
    422: "The body or a parameter is not what the operation takes",
    429: "Too many bad credentials came from the address; see Retry-After",
    503: "The records cannot be reached now; see Retry-After",
}


def public_responses(*statuses: int) -> Responses:
    """Describe the problems of an operation that asks for no credential."""
    return {status: _described(status) for status in statuses}


def problem_responses(*statuses: int) -> Responses:
    """Describe the problems of an operation; what can happen to every operation is included."""
    return {status: _described(status) for status in sorted({400, 401, 403, 429, 503, *statuses})}


def _described(status: int) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": _MEANINGS[status], "content": content}
