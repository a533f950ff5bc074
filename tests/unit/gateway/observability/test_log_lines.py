"""Every message is one line, in one shape, whatever it holds."""

import contextlib
import json
import logging
from typing import Any

import pytest

from gateway.observability.log_lines import JsonLines, LineFormat, TextLines
from gateway.observability.log_writer import PIPE_BYTES

HOSTILE = 'a\nb\r\n{"level":"error"}\x1b[31m\u2028\x00\udc80"\\'


def record(message: str, *arguments: object, **members: Any) -> logging.LogRecord:  # noqa: ANN401
    """Make a record as a logger does."""
    logger = logging.getLogger("test")
    made = logger.makeRecord("test", logging.ERROR, "file", 1, message, arguments, None)
    made.__dict__.update(members)
    return made


def failure(text: str) -> Any:  # noqa: ANN401 - what sys.exc_info gives
    """Raise something and return what a logger is given."""
    error = ValueError(text)
    with contextlib.suppress(ValueError):
        raise error
    return type(error), error, error.__traceback__


@pytest.mark.parametrize("line_format", [JsonLines(), TextLines()])
def test_text_of_a_caller_cannot_forge_a_line(line_format: LineFormat) -> None:
    """Newlines and escape sequences are written as such."""
    line = line_format.line(record("it said %s", HOSTILE))
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert all(byte >= 0x20 or byte == 0x0A for byte in line)


def test_json_line_has_the_members_of_every_line() -> None:
    """Time, level, logger, message, and the request where there is one."""
    document = json.loads(JsonLines().line(record("it said %s", HOSTILE, request_id="abc")))
    assert list(document) == ["time", "level", "logger", "message", "request_id"]
    assert document["message"] == f"it said {HOSTILE}"
    assert (document["level"], document["logger"]) == ("error", "test")


def test_time_is_rfc_3339_in_utc() -> None:
    """Every collector reads it."""
    document = json.loads(JsonLines().line(record("x", created=1_700_000_000.0625)))
    assert document["time"] == "2023-11-14T22:13:20.062Z"


def test_json_trace_is_one_member() -> None:
    """A collector keeps it with its message."""
    document = json.loads(JsonLines().line(record("x", exc_info=failure(HOSTILE))))
    assert document["exception"].startswith("Traceback")
    assert "ValueError" in document["exception"]


def test_text_trace_is_indented() -> None:
    """What it quotes cannot look like a message of its own."""
    text = TextLines().line(record("x", exc_info=failure("a\n2026 INFO forged"))).decode()
    first, *others = text.splitlines()
    assert first.endswith("ERROR test: x")
    assert all(line.startswith("    ") for line in others)


@pytest.mark.parametrize("text", ["x" * 100_000, "\u20ac" * 100_000, "\n" * 100_000])
def test_long_line_is_cut_to_what_a_pipe_keeps_together(text: str) -> None:
    """Lines of several workers do not run into each other; the end of a trace says most."""
    line = JsonLines().line(record(text, exc_info=failure(f"{text} the end")))
    assert len(line) <= PIPE_BYTES
    assert json.loads(line)["exception"].endswith("the end")
