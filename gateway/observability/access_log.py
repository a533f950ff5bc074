"""One line for each request: who, what, how it ended and what it took.

It holds no secret, no body, no path, no query and nothing else that the caller wrote.
"""

import time
from typing import Any, Protocol

import orjson

from gateway.dataplane.prediction import Answer
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
        document |= _details(exchange)
        return orjson.dumps(document, option=_LINE)


class TextAccess:
    """A line for people at a terminal."""

    def line(self, exchange: Exchange, moment: str) -> bytes:
        """Write one line."""
        members = _details(exchange)
        method = exchange.method if exchange.method in METHODS else "other"
        details = " ".join(f"{name}={value}" for name, value in members.items())
        line = (
            f"{moment} INFO {LOGGER}: {method} {exchange.route or '-'} {exchange.status} "
            f"{_milliseconds(exchange.seconds)} ms {exchange.request_id} {details}"
        )
        return line.rstrip().encode("utf-8", "backslashreplace") + b"\n"


def _replayed(answer: Answer) -> dict[str, Any]:
    """Say which request was billed for an answer that was given again."""
    return {"units": 0, "replay_of": answer.replay_of}


def _details(exchange: Exchange) -> dict[str, Any]:
    """List what is known of this request and not of every one.

    Cost: a prediction that was served is written in one go, since it is the line of nearly all.
    """
    principal, model, answer = exchange.principal, exchange.model, exchange.answer
    if principal is not None and model is not None and answer is not None:
        prediction = answer.prediction
        details: dict[str, Any] = {
            "key_id": principal.credential_id,
            "tenant_id": principal.tenant_id,
            "model": model.name,
            "version": model.version,
            "rows": answer.rows,
            "units": answer.units,
            "decode_ms": int(answer.decode_seconds * 1e6) / 1e3,
            "admit_ms": int(answer.admit_seconds * 1e6) / 1e3,
            "queue_ms": int(prediction.queue_seconds * 1e6) / 1e3,
            "compute_ms": int(prediction.compute_seconds * 1e6) / 1e3,
            "record_ms": int(answer.record_seconds * 1e6) / 1e3,
        }
        details |= _replayed(answer) if answer.replay_of else {}
    else:
        details = {"code": exchange.code} if exchange.code else {}
        if principal is not None:
            details |= {"key_id": principal.credential_id, "tenant_id": principal.tenant_id}
        if model is not None:
            details |= {"model": model.name, "version": model.version}
    if exchange.bytes_in is not None:
        details["bytes_in"] = exchange.bytes_in
    if exchange.bytes_out is not None:
        details["bytes_out"] = exchange.bytes_out
    if exchange.client is not None:
        details["client"] = exchange.client
    if exchange.trace_id is not None:
        details["trace_id"] = exchange.trace_id
    return details


def _milliseconds(seconds: float) -> float:
    return int(seconds * 1e6) / 1e3
