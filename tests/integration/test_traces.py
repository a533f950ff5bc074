"""Traces reach a collector, say what the log says, and harm nothing when it is away."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.otlp_receiver import OtlpReceiver, running_receiver
from tests.population import make_caller, make_plan, make_tenant
from tests.serving import Answer, free_port
from tests.stack import Stack

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
NOT_SAMPLED = f"00-{TRACE[::-1]}-b7ad6b7169203331-00"


@contextlib.contextmanager
def traced(folder: Path, *, collector: str, port: int = 0) -> Iterator[Stack]:
    """Run one worker that sends traces; on the proxy's socket, unless a port is given."""
    settings = {"TOLLGATE_TRACES": "1", "OTEL_EXPORTER_OTLP_ENDPOINT": collector}
    settings |= {"OTEL_BSP_SCHEDULE_DELAY": "50"}
    stack = Stack(folder, port, workers=1, settings=settings)
    stack.start()
    try:
        yield stack
    finally:
        stack.stop()


def predict(stack: Stack, *, parent: str = "") -> tuple[Answer, str]:
    """Ask for a prediction as part of a trace; return the answer and the key id."""
    caller = make_caller(stack, make_tenant(stack, make_plan(stack)))
    headers = {"traceparent": parent} if parent else {}
    path = "/v1/models/housing:predict?x=in-the-query"
    body = stack.demo["example"]
    answer = stack.call("POST", path, key=caller.api_key, body=body, headers=headers)
    assert answer.status == 200
    return answer, caller.key_id


def spans_of(receiver: OtlpReceiver, answer: Answer, stack: Stack) -> dict[str, Span]:
    """Wait for the spans of one request; list them by name."""
    request_id = answer.headers["x-request-id"]

    def found() -> list[Span]:
        return [each for each in receiver.spans if values(each).get("tollgate.request_id")]

    stack.wait_until(
        lambda: any(values(each)["tollgate.request_id"] == request_id for each in found()),
        "the collector has the span",
    )
    [root] = [each for each in found() if values(each)["tollgate.request_id"] == request_id]
    trace = [each for each in receiver.spans if each.trace_id == root.trace_id]
    return {each.name: each for each in trace}


def values(span: Span) -> dict[str, str]:
    """Read the attributes of a span."""
    return {each.key: each.value.string_value for each in span.attributes}


@pytest.fixture(scope="module")
def receiver() -> Iterator[OtlpReceiver]:
    """Run a collector."""
    with running_receiver() as running:
        yield running


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory, receiver: OtlpReceiver) -> Iterator[Stack]:
    """Run a server behind the proxy's socket that sends to it."""
    with traced(tmp_path_factory.mktemp("traced"), collector=receiver.url) as stack:
        yield stack


def test_prediction_is_a_trace_of_its_parts(proxied: Stack, receiver: OtlpReceiver) -> None:
    """The request, and decode, admit, queue, compute and record inside it, in this order."""
    answer, key_id = predict(proxied)
    spans = spans_of(receiver, answer, proxied)
    root = spans.pop("POST /v1/models/{model}:predict")
    names = ["decode", "admit", "queue", "compute", "record"]
    assert sorted(spans, key=lambda name: spans[name].start_time_unix_nano) == names
    assert {each.parent_span_id for each in spans.values()} == {root.span_id}
    assert root.start_time_unix_nano <= spans["decode"].start_time_unix_nano
    assert values(root)["tollgate.key_id"] == key_id
    assert receiver.services == {"tollgate"}


def test_trace_of_the_proxy_goes_on(proxied: Stack, receiver: OtlpReceiver) -> None:
    """Its span is the parent, and the log names the trace."""
    answer, _ = predict(proxied, parent=PARENT)
    spans = spans_of(receiver, answer, proxied)
    root = spans["POST /v1/models/{model}:predict"]
    assert (root.trace_id.hex(), root.parent_span_id.hex()) == (TRACE, "b7ad6b7169203331")
    proxied.wait_until(lambda: TRACE in proxied.log(), "the log has the trace")


def test_trace_that_the_proxy_does_not_keep_is_not_kept(
    proxied: Stack, receiver: OtlpReceiver
) -> None:
    """The proxy samples for all behind it; the next request's span comes after where it was."""
    predict(proxied, parent=NOT_SAMPLED)
    answer, _ = predict(proxied)
    spans_of(receiver, answer, proxied)
    assert TRACE[::-1] not in {each.trace_id.hex() for each in receiver.spans}


def test_trace_of_a_direct_caller_has_no_effect(tmp_path: Path, receiver: OtlpReceiver) -> None:
    """Nobody outside chooses where his request belongs, or that it is traced."""
    with traced(tmp_path, collector=receiver.url, port=free_port()) as stack:
        answer, _ = predict(stack, parent=NOT_SAMPLED)
        root = spans_of(receiver, answer, stack)["POST /v1/models/{model}:predict"]
    assert root.trace_id.hex() not in (TRACE, TRACE[::-1])
    assert root.parent_span_id == b""


def test_spans_hold_nothing_that_a_caller_wrote(proxied: Stack, receiver: OtlpReceiver) -> None:
    """No key, no path, no query, no body; a collector may belong to somebody else."""
    admin_key = proxied.keys["admin_key"]
    proxied.call("GET", f"/v1/plans/{admin_key}?x={admin_key}", key=admin_key)
    answer, _ = predict(proxied)
    spans_of(receiver, answer, proxied)
    text = "".join(str(each) for each in receiver.spans)
    assert admin_key not in text
    assert "in-the-query" not in text
    assert "bedrooms" not in text


def test_collector_that_is_away_harms_nothing(tmp_path: Path) -> None:
    """Requests are served, and the end is not held up."""
    with traced(tmp_path, collector=f"http://127.0.0.1:{free_port()}") as stack:
        for _ in range(3):
            predict(stack)
        assert stack.stop() == 0
    lines = [json.loads(line) for line in stack.log().splitlines() if line.startswith("{")]
    assert not [line for line in lines if "did not end" in line["message"]]
