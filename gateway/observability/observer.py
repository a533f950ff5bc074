"""Tell the log, the metrics and the traces of each request, as far as they are on."""

import re
from collections.abc import Iterable, MutableMapping
from time import perf_counter
from typing import Any, Final

from gateway.observability.access_log import AccessLog
from gateway.observability.exchange import Exchange
from gateway.observability.request_counts import RequestCounts
from gateway.observability.traces import Traces

_FORWARDED_FOR: Final = b"x-forwarded-for"
_TRACE_PARENT: Final = b"traceparent"
_ADDRESS: Final = re.compile(rb"[0-9A-Fa-f.:]{2,45}")


class RequestObserver:
    """See each request begin and end.

    `finish` comes before the first byte of the answer leaves, so that whoever was answered has been
    counted.
    """

    def __init__(
        self,
        *,
        counts: RequestCounts | None = None,
        access_log: AccessLog | None = None,
        traces: Traces | None = None,
        trusts_proxy: bool = False,
    ) -> None:
        """Observe with what is given; by default with nothing."""
        self._counts = counts
        self._access_log = access_log
        self._traces = traces
        self._trusts_proxy = trusts_proxy

    def begin(self, scope: MutableMapping[str, Any], request_id: str, *, route: str) -> Exchange:
        """See a request begin; `end` must follow.

        Threat: a caller who names his address or his trace could put anything into our log, and
        have himself traced; only a trusted proxy is believed.
        """
        if self._counts is not None:
            self._counts.in_flight.add(1.0)
        exchange = Exchange(request_id, scope["method"], route, perf_counter())
        if self._trusts_proxy:
            headers = scope["headers"]
            address = _single(headers, _FORWARDED_FOR)
            if _ADDRESS.fullmatch(address) is not None:
                exchange.client = address.decode("ascii")
            if self._traces is not None:
                exchange.trace_parent = _single(headers, _TRACE_PARENT).decode("latin-1")
        return exchange

    def finish(self, exchange: Exchange) -> None:
        """See a request whose status is known and whose answer comes next."""
        exchange.seconds = perf_counter() - exchange.started
        if self._traces is not None:
            exchange.trace_id = self._traces.trace(exchange)
        if self._counts is not None:
            self._counts.finish(exchange)
        if self._access_log is not None:
            self._access_log.write(exchange)

    def refuse_head(self, request_id: str, *, status: int, code: str) -> None:
        """See bytes that are no request and are answered all the same."""
        exchange = Exchange(request_id, "", "", perf_counter(), status, code)
        self.finish(exchange)

    def end(self) -> None:
        """See a request end, answered or not."""
        if self._counts is not None:
            self._counts.in_flight.add(-1.0)


def _single(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    """Return the value of a header that was sent exactly once."""
    values = [value for each, value in headers if each == name]
    return values[0] if len(values) == 1 else b""
