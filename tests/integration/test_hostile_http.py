"""Bytes that are no decent HTTP get a 4xx and a closed connection, never a 5xx, a bill or a hang.

Source: RFC 9110, sections 5.5 and 9; RFC 9112, sections 2.2, 5.1, 6 and 7.1; RFC 6750, section 2.
"""

import json
import random
from collections.abc import Callable

import pytest

from tests.load import Caller
from tests.population import populate
from tests.serving import Server
from tests.wire import send_raw, statuses

PREDICT = "/v1/models/housing:predict"
CHUNKED = "Transfer-Encoding: chunked"
CHUNK_BYTES = 1 << 20
OVER_THE_CAP = 65 * CHUNK_BYTES

Write = Callable[["Sender"], bytes]


class Sender:
    """Write requests of a caller whose credential is good."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.caller: Caller = populate(server, tenants=1, keys_each=1)[0]
        self.authorization = f"Authorization: Bearer {self.caller.api_key}"
        self.body = json.dumps(server.demo["example"]).encode()
        self.length = f"Content-Length: {len(self.body)}"

    def head(self, *lines: str, method: str = "POST", target: str = PREDICT) -> bytes:
        """Write a head with a credential and whatever else is given."""
        given = ("Host: x", self.authorization, "Connection: close", *lines, "", "")
        return "\r\n".join((f"{method} {target} HTTP/1.1", *given)).encode("latin-1")

    def send(self, *pieces: bytes) -> list[int]:
        """Send bytes; return the statuses that came back before the server closed."""
        return statuses(send_raw(self.server.port, *pieces))

    def rows_billed(self) -> int:
        """Count what the caller's tenant was billed for."""
        path = f"/v1/usage?tenant_id={self.caller.tenant_id}"
        data = self.server.call("GET", path, key=self.server.demo["billing_key"]).body["data"]
        return sum(item["rows"] for item in data)


@pytest.fixture(scope="module")
def sender(server: Server) -> Sender:
    """Make somebody who sends strange bytes."""
    return Sender(server)


REFUSED: dict[str, Write] = {
    "credential twice": lambda s: s.head(s.length, s.authorization) + s.body,
    "credential twice, control plane": lambda s: s.head(
        s.authorization, method="GET", target="/v1/models"
    ),
    "credential in another scheme beside it": lambda s: (
        s.head(s.length, "Authorization: Basic eDp5") + s.body
    ),
    "length twice": lambda s: s.head(s.length, s.length) + s.body,
    "lengths that differ": lambda s: s.head(s.length, "Content-Length: 0") + s.body,
    "list of lengths": lambda s: s.head(f"{s.length}, {len(s.body)}") + s.body,
    "length and chunks": lambda s: s.head(s.length, CHUNKED) + b"0\r\n\r\n",
    "chunks and length": lambda s: s.head(CHUNKED, s.length) + b"0\r\n\r\n",
    "negative length": lambda s: s.head("Content-Length: -1") + s.body,
    "length with a sign": lambda s: s.head("Content-Length: +5") + s.body,
    "length in hexadecimal": lambda s: s.head("Content-Length: 0x10") + s.body,
    "length over 64 bits": lambda s: s.head("Content-Length: 99999999999999999999999") + s.body,
    "two codings": lambda s: s.head(CHUNKED, "Transfer-Encoding: identity") + b"0\r\n\r\n",
    "unknown coding": lambda s: s.head("Transfer-Encoding: xchunked") + b"0\r\n\r\n",
    "chunk of no size": lambda s: s.head(CHUNKED) + b"zz\r\nabc\r\n0\r\n\r\n",
    "chunk of negative size": lambda s: s.head(CHUNKED) + b"-1\r\nabc\r\n0\r\n\r\n",
    "chunk over 64 bits": lambda s: s.head(CHUNKED) + b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "space before the colon": lambda s: s.head("X-A : b", s.length) + s.body,
    "folded header": lambda s: s.head("X-A: b\r\n c", s.length) + s.body,
    "zero byte in a header": lambda s: s.head("X-A: b\0c", s.length) + s.body,
    "bare line feeds": lambda s: s.head(s.length).replace(b"\r\n", b"\n") + s.body,
    "bare carriage returns": lambda s: s.head(s.length).replace(b"\r\n", b"\r") + s.body,
    "HTTP/0.9": lambda _: b"GET /v1/models\r\n\r\n",
    "HTTP/2 without asking": lambda _: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": lambda _: bytes.fromhex("1603010200010001fc0303") + b"\0" * 100,
    "noise": lambda _: b"\0\1\2\3" * 100,
    "asterisk": lambda s: s.head(method="OPTIONS", target="*"),
    "target beyond ASCII": lambda s: s.head(method="GET", target="/v1/models/\xff"),
    "path that is no UTF-8": lambda s: s.head(method="GET", target="/v1/models/%ff%fe"),
    "query that is no UTF-8": lambda s: s.head(method="GET", target="/v1/usage?tenant_id=%ff"),
    "credential beyond ASCII": lambda s: s.head(method="GET", target="/v1/models").replace(
        b"Bearer ", b"Bearer \xff\xe9"
    ),
    "compressed body": lambda s: s.head(s.length, "Content-Encoding: gzip") + s.body,
    "small request hidden in a body": lambda s: (
        s.head("Content-Length: 5", CHUNKED) + b"0\r\n\r\n" + s.head(s.length) + s.body
    ),
}
"""Requests that no good client sends; each must be refused, and once."""


@pytest.mark.parametrize("name", REFUSED)
def test_indecent_request_is_refused_once(sender: Sender, name: str) -> None:
    """One answer, a 4xx, and the connection ends."""
    [status] = sender.send(REFUSED[name](sender))
    assert 400 <= status < 500


def test_refused_requests_are_not_billed(sender: Sender) -> None:
    """None of them ran a model."""
    before = sender.rows_billed()
    for write in REFUSED.values():
        sender.send(write(sender))
    assert sender.rows_billed() == before


@pytest.mark.parametrize("target", [PREDICT, "/v1/plans", "/healthz/live"])
@pytest.mark.parametrize("method", ["TRACE", "PROPFIND", "PURGE", "SEARCH", "LINK", "LOCK"])
def test_method_that_is_not_served_is_405(sender: Sender, method: str, target: str) -> None:
    """Known to HTTP and not to us; nothing is reflected and nothing is done."""
    received = send_raw(sender.server.port, sender.head(method=method, target=target))
    assert statuses(received) == [405]
    assert sender.caller.api_key.encode() not in received


@pytest.mark.parametrize("method", ["BREW", "G", "get", "POST,GET", "\x01"])
def test_method_that_is_none_is_refused(sender: Sender, method: str) -> None:
    """Not known to HTTP at all."""
    assert sender.send(sender.head(method=method)) == [400]


@pytest.mark.parametrize("target", ["x:80", PREDICT])
def test_nobody_is_connected_anywhere(sender: Sender, target: str) -> None:
    """CONNECT makes no tunnel."""
    [status] = sender.send(sender.head(method="CONNECT", target=target))
    assert status in (400, 405)


def test_chunked_body_is_read_whole(sender: Sender) -> None:
    """Chunks of one byte make the same request, billed once."""
    before = sender.rows_billed()
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in sender.body)
    assert sender.send(sender.head(CHUNKED) + chunks + b"0\r\n\r\n") == [200]
    assert sender.rows_billed() == before + 1


def test_chunked_body_over_the_cap_is_refused(sender: Sender) -> None:
    """No length is announced, so what has come is counted."""
    chunk = b"%x\r\n" % CHUNK_BYTES + b" " * CHUNK_BYTES + b"\r\n"
    pieces = [chunk] * (OVER_THE_CAP // CHUNK_BYTES)
    received = sender.send(sender.head(CHUNKED), *pieces, b"0\r\n\r\n")
    assert received in ([413], [])  # an answer may be lost when the server closes first


@pytest.mark.parametrize("target", ["/v1/models?" + "a" * 200_000, "/" + "a" * 200_000])
def test_long_target_is_refused(sender: Sender, target: str) -> None:
    """A request line has a bound, whoever asks."""
    received = sender.send(sender.head(method="GET", target=target))
    assert received in ([400], [431], [])  # an answer may be lost when the server closes first


def test_pipelined_requests_are_answered_in_their_order(sender: Sender) -> None:
    """A good one, a bad one and a good one again on one connection."""
    keep = sender.head(sender.length).replace(b"Connection: close\r\n", b"")
    bad = keep.replace(b"/housing", b"/nothing")
    last = sender.head(sender.length)
    assert sender.send(b"".join(part + sender.body for part in (keep, bad, last))) == [
        200,
        404,
        200,
    ]


def test_random_bytes_never_hurt(sender: Sender) -> None:
    """Whatever comes, the server answers 4xx or hangs up, and serves the next caller."""
    source = random.Random(20261121)  # noqa: S311 - noise, not secrets
    for _ in range(50):
        noise = source.randbytes(200).replace(b"\n", b"")
        assert set(sender.send(b"G" + noise + b"\r\n\r\n")) <= {400}
    assert sender.server.call("GET", "/healthz/ready").status == 200
