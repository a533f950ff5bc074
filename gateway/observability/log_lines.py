"""Write every message of this process as one line, in JSON or as text for a terminal.

Threat: text of a caller that reached a message with a newline in it would forge a line of the log;
JSON escapes it, and text escapes every control character.
"""

import json
import logging
import os
import re
import time
from typing import Final, Protocol

from gateway.observability.log_writer import PIPE_BYTES, LogWriter
from gateway.settings import Settings

STANDARD_ERROR: Final = 2
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_MAX_MESSAGE: Final = 2000
_MAX_TRACE: Final = 2800
_LITTLE: Final = 300


class LineFormat(Protocol):
    """How a log record looks."""

    def line(self, record: logging.LogRecord) -> bytes:
        """Write one line, newline included."""
        ...


class Moments:
    """Write times as RFC 3339 in UTC; the part down to the second is made once a second."""

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def text(self, seconds: float) -> str:
        """Write a time since the epoch, to the millisecond."""
        whole = int(seconds)
        if whole != self._second:
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
            self._second = whole
        return f"{self._text}.{int((seconds - whole) * 1000):03d}Z"


class JsonLines:
    """One JSON object for each message; a trace is its member `exception`."""

    def __init__(self) -> None:
        self._moments = Moments()

    def line(self, record: logging.LogRecord) -> bytes:
        """Write one line; a long trace loses its beginning, so that a pipe keeps it together."""
        document: dict[str, object] = {
            "time": self._moments.text(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage()[:_MAX_MESSAGE],
        }
        request_id = getattr(record, "request_id", None)
        if request_id is not None:
            document["request_id"] = request_id
        trace = _trace_of(record)
        if trace:
            document["exception"] = trace[-_MAX_TRACE:]
        data = _encode(document)
        if len(data) > PIPE_BYTES:
            document |= {"exception": trace[-_LITTLE:], "message": record.getMessage()[:_LITTLE]}
            data = _encode(document)
        return data


class TextLines:
    """A line for people; a trace follows, each of its lines indented."""

    def __init__(self) -> None:
        self._moments = Moments()

    def line(self, record: logging.LogRecord) -> bytes:
        """Write one message."""
        moment = self._moments.text(record.created)
        message = _escaped(record.getMessage()[:_MAX_MESSAGE])
        lines = [f"{moment} {record.levelname} {record.name}: {message}"]
        lines += [f"    {_escaped(each)}" for each in _trace_of(record).splitlines()]
        return ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")


class LineHandler(logging.Handler):
    """Hand log records to the writer; what went wrong is written at once."""

    def __init__(self, writer: LogWriter, line_format: LineFormat) -> None:
        super().__init__()
        self._writer = writer
        self._format = line_format

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        self._writer.write(self._format.line(record))
        if record.levelno >= logging.WARNING:
            self._writer.hurry()


def start_log(settings: Settings) -> LogWriter:
    """Begin to write the log of this process to standard error, in the format that was chosen."""
    writer = LogWriter(STANDARD_ERROR)
    set_up_logging(settings.log_level, writer, JsonLines() if is_json(settings) else TextLines())
    return writer


def is_json(settings: Settings) -> bool:
    """Choose text for people at a terminal, where nothing was chosen."""
    if settings.log_format == "auto":
        return not os.isatty(STANDARD_ERROR)
    return settings.log_format == "json"


def set_up_logging(level: str, writer: LogWriter, line_format: LineFormat) -> None:
    """Send every logger of this process to the writer, from `level` on."""
    root = logging.getLogger()
    for handler in root.handlers[:]:
        root.removeHandler(handler)
    root.addHandler(LineHandler(writer, line_format))
    root.setLevel(level.upper())
    for talkative in ("alembic", "asyncio", "urllib3"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)


def _encode(document: dict[str, object]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def _trace_of(record: logging.LogRecord) -> str:
    if record.exc_info:
        return logging.Formatter().formatException(record.exc_info)
    return record.exc_text or ""


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
