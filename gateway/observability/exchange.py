"""What is known of one request while it is served, for its log line, its counts and its trace."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from auth.principal import Principal
from gateway.dataplane.prediction import Answer
from inference.registry import ModelVersion

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@dataclass(slots=True)
class Exchange:
    """One request and its answer, filled in as they become known.

    Threat: path, query and headers are not here, so that no secret and no text of the caller can
    reach the log, a metric or a trace.
    """

    request_id: str
    method: str
    """As it was sent; the server's parser lets no other than the known ones through."""

    route: str
    """The template, as in the OpenAPI document; empty where the path is none of ours."""

    started: float
    """On the clock `perf_counter`."""

    status: int = 0
    code: str = ""
    """The problem's, empty where there is none."""

    principal: Principal | None = None
    model: ModelVersion | None = None
    bytes_in: int | None = None
    bytes_out: int | None = None
    answer: Answer | None = None
    """Of a prediction that was served."""

    seconds: float = 0.0
    """Until the answer began."""

    client: str | None = None
    """The client's address, where a trusted proxy says it."""

    trace_parent: str | None = None
    """The trace that a trusted proxy is part of (W3C traceparent)."""

    trace_id: str | None = None

    def answered(self, answer: Answer) -> None:
        """Take over what a prediction was answered with."""
        self.status = HTTPStatus.OK
        self.answer = answer
        self.bytes_out = answer.encoded.size

    def refused(self, status: int, code: str) -> None:
        """Take over what it was refused with."""
        self.status = status
        self.code = code
