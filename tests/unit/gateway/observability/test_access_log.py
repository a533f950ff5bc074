"""The line of a request says who, what and how long, and nothing that the caller wrote."""

import json
import os

import pytest

from gateway.observability.access_log import AccessFormat, AccessLog, JsonAccess, TextAccess
from gateway.observability.exchange import Exchange
from gateway.observability.log_writer import LogWriter
from gateway.observability.observer import RequestObserver

SCOPE: dict[str, object] = {
    "method": "POST",
    "headers": [(b"x-forwarded-for", b"203.0.113.7"), (b"user-agent", b"secret-in-a-header")],
    "path": "/secret-in-a-path",
    "query_string": b"secret-in-a-query",
}


def line_of(exchange: Exchange, line_format: AccessFormat) -> bytes:
    """Write one line and read it back."""
    reading, writing = os.pipe()
    writer = LogWriter(writing)
    AccessLog(writer, line_format).write(exchange)
    writer.close()
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        return file.read()


def refused(*, trusts_proxy: bool, scope: dict[str, object]) -> Exchange:
    """Let a request begin and be refused."""
    observer = RequestObserver(trusts_proxy=trusts_proxy)
    exchange = observer.begin(scope, "a" * 32, route="/v1/models/{model}:predict")
    exchange.refused(404, "model_not_found")
    observer.finish(exchange)
    return exchange


@pytest.mark.parametrize("line_format", [JsonAccess(), TextAccess()])
def test_line_holds_nothing_that_the_caller_wrote(line_format: AccessFormat) -> None:
    """Neither headers, path nor query; one line."""
    line = line_of(refused(trusts_proxy=True, scope=SCOPE), line_format)
    assert b"secret" not in line
    assert line.count(b"\n") == 1
    for told in (b"a" * 32, b"404", b"model_not_found", b"203.0.113.7", b"POST"):
        assert told in line


def test_address_is_believed_from_the_proxy_alone() -> None:
    """A direct caller cannot name another."""
    line = line_of(refused(trusts_proxy=False, scope=SCOPE), JsonAccess())
    assert "client" not in json.loads(line)


@pytest.mark.parametrize("sent", [b"203.0.113.7, 10.0.0.1", b'"}\n', b"", b"a" * 46])
def test_address_that_is_none_is_left_out(sent: bytes) -> None:
    """Even from the proxy."""
    scope = SCOPE | {"headers": [(b"x-forwarded-for", sent)]}
    assert refused(trusts_proxy=True, scope=scope).client is None


def test_method_that_is_not_known_is_not_repeated() -> None:
    """It would be text of the caller."""
    exchange = refused(trusts_proxy=False, scope=SCOPE | {"method": "SECRET"})
    assert json.loads(line_of(exchange, JsonAccess()))["method"] == "other"
