"""Count requests by route, model and outcome, and time their parts."""

from typing import Final

from gateway.observability import catalogue
from gateway.observability.exchange import METHODS, Exchange
from gateway.observability.meter import Counter, Histogram, Meter

UNKNOWN_MODEL: Final = "unknown"
_PREDICTIONS: Final = (":predict", "/infer", "/ModelInfer")
"""How the routes of predictions end."""


class _Parts:
    """The histograms and counters of predictions with one model."""

    __slots__ = ("decode", "queue", "rows")

    def __init__(self, meter: Meter, model: str) -> None:
        self.decode = meter.histogram(catalogue.DECODE_SECONDS, model)
        self.queue = meter.histogram(catalogue.QUEUE_SECONDS, model)
        self.rows = meter.counter(catalogue.PREDICTION_ROWS, model)


class RequestCounts:
    """The series of requests in this process.

    Bounded: there are as many as routes, models of the repository and codes of problems allow.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._requests: dict[tuple[str, ...], Counter] = {}
        self._seconds: dict[tuple[str, str], Histogram] = {}
        self._parts: dict[str, _Parts] = {}
        self._admit = meter.histogram(catalogue.ADMIT_SECONDS)
        self._record = meter.histogram(catalogue.RECORD_SECONDS)
        self.in_flight = meter.gauge(catalogue.REQUESTS_IN_FLIGHT)

    def finish(self, exchange: Exchange) -> None:
        """Count one request that is about to be answered."""
        model = _model_of(exchange)
        status = f"{exchange.status // 100}xx"
        method = exchange.method
        key = (exchange.route, method, model, status, exchange.code)
        counter = self._requests.get(key)
        if counter is None:
            if method not in METHODS:
                key = (exchange.route, "other", model, status, exchange.code)
            counter = self._requests[key] = self._meter.counter(catalogue.REQUESTS, *key)
        counter.add()
        seconds = self._seconds.get((exchange.route, model))
        if seconds is None:
            labels = (exchange.route, model)
            seconds = self._meter.histogram(catalogue.REQUEST_SECONDS, *labels)
            self._seconds[labels] = seconds
        seconds.observe(exchange.seconds)
        if exchange.answer is not None and not exchange.answer.replay_of:
            self._time_parts(exchange, model)

    def _time_parts(self, exchange: Exchange, model: str) -> None:
        answer = exchange.answer
        if answer is None:
            return
        parts = self._parts.get(model)
        if parts is None:
            parts = self._parts[model] = _Parts(self._meter, model)
        parts.decode.observe(answer.decode_seconds)
        parts.queue.observe(answer.prediction.queue_seconds)
        parts.rows.add(answer.rows)
        self._admit.observe(answer.admit_seconds)
        self._record.observe(answer.record_seconds)


def _model_of(exchange: Exchange) -> str:
    """Name the model for a label.

    Threat: a label for each name that callers make up would fill the memory of every Prometheus.
    """
    if exchange.model is not None:
        return exchange.model.name
    return UNKNOWN_MODEL if exchange.route.endswith(_PREDICTIONS) else ""
