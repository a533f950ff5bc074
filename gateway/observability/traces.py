"""Say where traces go; what sends them is an extra, and is imported when it is wanted only."""

import importlib
from typing import Protocol

from gateway.errors import StartRefused
from gateway.observability.exchange import Exchange
from gateway.settings import Settings

_MODULE = "gateway.observability.otlp"


class Traces(Protocol):
    """Where traces go."""

    def trace(self, exchange: Exchange) -> str | None:
        """Write the spans of a request; return the id of its trace, or None if it is not kept."""
        ...

    def close(self) -> None:
        """Send what waits, within a bounded time."""
        ...


def open_traces(settings: Settings) -> Traces | None:
    """Open the way to the collector that the standard OTEL_* variables name, if traces are wanted.

    Raises:
        StartRefused: traces are wanted and the extra is not installed.
    """
    if not settings.traces:
        return None
    try:
        module = importlib.import_module(_MODULE)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "opentelemetry":
            raise
        raise StartRefused(
            "TOLLGATE_TRACES needs the extra `traces`: pip install 'tollgate[traces]', or set "
            "TOLLGATE_TRACES=0"
        ) from None
    traces: Traces = module.OtlpTraces()
    return traces
