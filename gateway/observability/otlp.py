"""Send traces over OTLP/HTTP with OpenTelemetry; needs the extra `traces`.

Where to, how many and under which name is read from the standard variables: OTEL_EXPORTER_OTLP_*,
OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME, OTEL_BSP_* and the like.
"""

import threading
import time
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway.observability.exchange import METHODS, Exchange

_NANOSECONDS: Final = 1_000_000_000
_CLOSE_SECONDS: Final = 3.0
_FIRST_FAILURE: Final = 500

Attributes = dict[str, str | int]


class OtlpTraces:
    """Write a span for each request and one for each of its parts, when the request is done.

    The parts are timed for the log anyway, so nothing is carried through the request. The sampler
    decides first; a request that is not kept costs one span that is never made. Spans are sent
    from a thread; with a collector that is away they are dropped when its queue is full.
    """

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        """Send to `exporter`, by default the one that the environment names."""
        resource = Resource({SERVICE_NAME: "tollgate"}).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("tollgate")
        self._propagator = TraceContextTextMapPropagator()

    def trace(self, exchange: Exchange) -> str | None:
        """Write the spans of a request; return the id of its trace, or None if it is not kept."""
        ended = time.time_ns()
        started = ended - int(exchange.seconds * _NANOSECONDS)
        method = exchange.method if exchange.method in METHODS else "other"
        span = self._tracer.start_span(
            f"{method} {exchange.route}".rstrip(),
            context=self._parent(exchange),
            kind=SpanKind.SERVER,
            start_time=started,
        )
        if not span.is_recording():
            return None
        span.set_attributes(_attributes(exchange, method))
        if exchange.status >= _FIRST_FAILURE:
            span.set_status(Status(StatusCode.ERROR))
        self._trace_parts(exchange, set_span_in_context(span), ended)
        span.end(ended)
        return format(span.get_span_context().trace_id, "032x")

    def close(self) -> None:
        """Send what waits, for at most three seconds."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True, name="traces")
        closing.start()
        closing.join(_CLOSE_SECONDS)

    def _parent(self, exchange: Exchange) -> Context:
        """Return the trace that the proxy named; a name that is malformed is as none."""
        carrier = {"traceparent": exchange.trace_parent} if exchange.trace_parent else {}
        return self._propagator.extract(carrier, context=Context())

    def _trace_parts(self, exchange: Exchange, context: Context, ended: int) -> None:
        """Lay the parts end to end before the end; what was between them stays the request's."""
        answer = exchange.answer
        if answer is None:
            return
        prediction = answer.prediction
        parts: tuple[tuple[str, float, Attributes], ...] = (
            ("record", answer.record_seconds, {}),
            ("compute", prediction.compute_seconds, {"tollgate.batch_rows": prediction.batch_rows}),
            ("queue", prediction.queue_seconds, {}),
            ("admit", answer.admit_seconds, {}),
            ("decode", answer.decode_seconds, {}),
        )
        for name, seconds, attributes in parts:
            began = ended - int(seconds * _NANOSECONDS)
            span = self._tracer.start_span(
                name, context=context, start_time=began, attributes=attributes
            )
            span.end(ended)
            ended = began


def _attributes(exchange: Exchange, method: str) -> Attributes:
    """Say what the log says.

    Threat: neither secrets nor text of a caller; the collector may belong to somebody else.
    """
    attributes: Attributes = {
        "http.request.method": method,
        "http.route": exchange.route,
        "http.response.status_code": exchange.status,
        "tollgate.request_id": exchange.request_id,
    }
    if exchange.code:
        attributes["error.type"] = exchange.code
    if exchange.principal is not None:
        attributes["tollgate.key_id"] = exchange.principal.credential_id
        attributes["tollgate.tenant_id"] = exchange.principal.tenant_id
    if exchange.model is not None:
        attributes["tollgate.model"] = exchange.model.name
        attributes["tollgate.model_version"] = exchange.model.version
    if exchange.answer is not None:
        attributes["tollgate.rows"] = exchange.answer.rows
        attributes["tollgate.units"] = 0 if exchange.answer.replay_of else exchange.answer.units
    return attributes
