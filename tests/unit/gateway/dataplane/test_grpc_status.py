"""Every problem has a gRPC status, and metadata that says the rest."""

import grpc
import pytest

from gateway.dataplane.grpc_status import problem_metadata, status_code
from gateway.problems import TABLE, UNEXPECTED, Row, problem_of
from inference.errors import QueueFull


@pytest.mark.parametrize("row", [*TABLE, UNEXPECTED], ids=lambda row: row.error.__name__)
def test_every_problem_that_can_happen_has_a_status(row: Row) -> None:
    """UNKNOWN tells a client nothing; what only HTTP has may be unknown here."""
    if row.status in (405, 431):
        pytest.skip("gRPC answers it by itself")
    assert status_code(row.status, row.code) is not grpc.StatusCode.UNKNOWN


def test_too_many_rows_are_no_reason_to_try_again() -> None:
    """Clients repeat what is RESOURCE_EXHAUSTED."""
    assert status_code(413, "too_many_rows") is grpc.StatusCode.INVALID_ARGUMENT


def test_metadata_says_when_to_come_back() -> None:
    """The headers of the problem, its code and the request's id."""
    metadata = dict(problem_metadata(problem_of(QueueFull(3)), "id"))
    assert metadata == {"x-request-id": "id", "tollgate-code": "queue_full", "retry-after": "3"}
