"""Tell a problem as gRPC does: a status code, a sentence, and the rest as trailing metadata.

Source: gRPC, "Status codes and their use in gRPC".
"""

from typing import Final, TypeAlias

import grpc

from gateway.problems import Problem

Metadata: TypeAlias = tuple[tuple[str, str], ...]

_CODES: Final = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    406: grpc.StatusCode.UNIMPLEMENTED,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    409: grpc.StatusCode.ABORTED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    415: grpc.StatusCode.UNIMPLEMENTED,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    499: grpc.StatusCode.CANCELLED,
    500: grpc.StatusCode.INTERNAL,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
_CODES_BY_NAME: Final = {
    # Threat: clients try again on RESOURCE_EXHAUSTED and ABORTED; these are refused for ever.
    "too_many_rows": grpc.StatusCode.INVALID_ARGUMENT,
    "idempotency_answer_too_large": grpc.StatusCode.FAILED_PRECONDITION,
}


def status_code(status: int, code: str = "") -> grpc.StatusCode:
    """Return the gRPC status of an HTTP status and a problem's code."""
    return _CODES_BY_NAME.get(code) or _CODES.get(status, grpc.StatusCode.UNKNOWN)


def problem_metadata(problem: Problem, request_id: str) -> Metadata:
    """List what a refused caller is told beside the status: whose, which, and when to come back."""
    return (
        ("x-request-id", request_id),
        ("tollgate-code", problem.code),
        *as_metadata(problem.headers),
    )


def as_metadata(headers: list[tuple[bytes, bytes]]) -> Metadata:
    """Write the headers of HTTP as metadata."""
    return tuple((name.decode("ascii"), value.decode("ascii")) for name, value in headers)
