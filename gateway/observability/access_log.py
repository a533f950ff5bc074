"""One line for each request: who, what, how it ended and what it took.

It holds no secret, no body, no path, no query and nothing else that the caller wrote.
"""

import time
from typing import Any, Protocol

import orjson

from gateway.observability.exchange import METHODS, Exchange
from gateway.observability.log_lines import Moments
from gateway.observability.log_writer import LogWriter

LOGGER = "tollgate.access"
_LINE = orjson.OPT_APPEND_NEWLINE


class AccessFormat(Protocol):
    """How the line of a request looks."""

    def line(self, exchange: Exchange, moment: str) -> bytes:
        """Write one line, newline included."""
        ...


class AccessLog:
    """Write a line for each request."""

    def __init__(self, writer: LogWriter, line_format: AccessFormat) -> None:
        self._writer = writer
        self._format = line_format
        self._moments = Moments()

    def write(self, exchange: Exchange) -> None:
        """Have the line of one request written."""
        self._writer.write(self._format.line(exchange, self._moments.text(time.time())))


class JsonAccess:
    """A JSON object of the same shape as every other line of the log; times in milliseconds."""

    def line(self, exchange: Exchange, moment: str) -> bytes:
        """Write one line."""
        document: dict[str, Any] = {
            "time": moment,
            "level": "info",
            "logger": LOGGER,
            "message": "request",
            "request_id": exchange.request_id,
            "method": exchange.method if exchange.method in METHODS else "other",
            "route": exchange.route,
            "status": exchange.status,
            "total_ms": _milliseconds(exchange.seconds),
        }
        _add_parties(document, exchange)
        return orjson.dumps(document, option=_LINE)


class TextAccess:
    """A line for people at a terminal."""

    def line(self, exchange: Exchange, moment: str) -> bytes:
        """Write one line."""
        members: dict[str, Any] = {}
        _add_parties(members, exchange)
        method = exchange.method if exchange.method in METHODS else "other"
        details = " ".join(f"{name}={value}" for name, value in members.items())
        line = (
            f"{moment} INFO {LOGGER}: {method} {exchange.route or '-'} {exchange.status} "
            f"{_milliseconds(exchange.seconds)} ms {exchange.request_id} {details}"
        )
        return line.rstrip().encode("utf-8", "backslashreplace") + b"\n"


def _add_parties(document: dict[str, Any], exchange: Exchange) -> None:
    """Add what is known of this request and not of every one."""
    if exchange.code:
        document["code"] = exchange.code
    principal, model, answer = exchange.principal, exchange.model, exchange.answer
    if principal is not None:
        document["key_id"] = principal.credential_id
        document["tenant_id"] = principal.tenant_id
    if model is not None:
        document["model"] = model.name
        document["version"] = model.version
    if answer is not None:
        prediction = answer.prediction
        document["rows"] = answer.rows
        document["units"] = answer.units
        document["decode_ms"] = _milliseconds(answer.decode_seconds)
        document["admit_ms"] = _milliseconds(answer.admit_seconds)
        document["queue_ms"] = _milliseconds(prediction.queue_seconds)
        document["compute_ms"] = _milliseconds(prediction.compute_seconds)
        document["record_ms"] = _milliseconds(answer.record_seconds)
    for name in ("bytes_in", "bytes_out", "client", "trace_id"):
        value = getattr(exchange, name)
        if value is not None:
            document[name] = value


def _milliseconds(seconds: float) -> float:
    return int(seconds * 1e6) / 1e3
