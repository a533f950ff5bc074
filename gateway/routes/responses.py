"""Describe the problem documents of the control plane in the OpenAPI document."""

from collections.abc import Collection
from typing import Any

Responses = dict[int | str, dict[str, Any]]

_MEANINGS = {
    400: "The body is not JSON, or a credential stands in the URL or twice in the headers",
    401: "No credential, or one that is unknown, wrong, expired or revoked",
    403: "The credential lacks the scope, may not grant one, or its tenant is suspended",
    404: "There is no such resource, or it is another tenant's",
    406: "The answer cannot be written in any form that Accept names",
    409: "What is to be changed is in no state for it: revoked, expired, retired or refused",
    408: "The body did not come in time",
    413: "The body is over the cap",
    415: "The body is of a media type that the operation does not take",
    422: "The body or a parameter is not what the operation takes",
    429: "Too many bad credentials came from the address; see Retry-After",
    503: "The records cannot be reached now; see Retry-After",
}

_BESIDE = {413: 408}
"""What can happen wherever something else can: whoever reads a body waits for it."""

_TABLES = {
    "application/x-ndjson": {"type": "string", "description": "An object on each line"},
    "text/csv": {"type": "string", "description": "A header line, and a line for each row"},
    "application/vnd.apache.parquet": {"type": "string", "format": "binary"},
}
_TABLE_HEADERS = {
    "Content-Digest": "SHA-256 of the body as it is sent (RFC 9530)",
    "Repr-Digest": "The same",
    "Usage-Complete-Through": "Everything before this moment is in the ledger",
    "Usage-Period-State": "`open`, `closing` or `closed`: of the months of the range, the least",
}


def public_responses(*statuses: int) -> Responses:
    """Describe the problems of an operation that asks for no credential."""
    return {status: _described(status) for status in _complete(statuses)}


def problem_responses(*statuses: int) -> Responses:
    """Describe the problems of an operation; what can happen to every operation is included."""
    met = {400, 401, 403, 429, 503, *_complete(statuses)}
    return {status: _described(status) for status in sorted(met)}


def table_responses() -> Responses:
    """Describe the forms beside JSON that a table from the ledger can have, and its headers."""
    forms = {media: {"schema": schema} for media, schema in _TABLES.items()}
    headers = {
        name: {"description": text, "schema": {"type": "string"}}
        for name, text in _TABLE_HEADERS.items()
    }
    return {200: {"content": forms, "headers": headers}}


def _complete(statuses: Collection[int]) -> list[int]:
    """Add what can happen beside these."""
    return sorted({*statuses, *(_BESIDE[status] for status in statuses if status in _BESIDE)})


def _described(status: int) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": _MEANINGS[status], "content": content}
