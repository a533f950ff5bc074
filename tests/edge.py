"""Speak to nginx as clients do: over TLS, from any address of loopback, with any bytes."""

import contextlib
import json
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.certificates import NAME
from tests.echo_upstream import Echo, running_echo
from tests.nginx_server import BINARY, NginxServer, running_nginx
from tests.serving import Answer
from tests.wire import ANSWER_SECONDS, read_all

HERE = "127.0.0.1"


@dataclass(frozen=True)
class Edge:
    """An nginx and the stand-in behind it."""

    nginx: NginxServer
    echo: Echo


@contextlib.contextmanager
def running_edge(folder: Path, *, binary: str = BINARY, **settings: str) -> Iterator[Edge]:
    """Run both for the length of a block."""
    upstream = folder / "gateway.sock"
    with (
        running_echo(upstream) as echo,
        running_nginx(folder, upstream, binary=binary, **settings) as nginx,
    ):
        yield Edge(nginx, echo)


def open_client(nginx: NginxServer, *, source: str = HERE, http2: bool = True) -> httpx.Client:
    """Open an HTTP client that trusts the throw-away authority and nothing in the environment."""
    transport = httpx.HTTPTransport(
        verify=nginx.certificates.context(), http1=not http2, http2=http2, local_address=source
    )
    return httpx.Client(transport=transport, base_url=nginx.url, trust_env=False)


def send_tls(
    nginx: NginxServer, *pieces: bytes, source: str = HERE, name: str | None = NAME
) -> bytes:
    """Send bytes over TLS and return all that comes back until the other side closes.

    Raises:
        ssl.SSLError: there is no handshake.
    """
    context = nginx.certificates.context()
    if name != NAME:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection((HERE, nginx.tls_port), ANSWER_SECONDS, (source, 0)) as plain,
        context.wrap_socket(plain, server_hostname=name, suppress_ragged_eofs=True) as connection,
    ):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):
            for piece in pieces:
                connection.sendall(piece)
        return read_all(connection)


def ask(
    nginx: NginxServer, method: str, target: str, *lines: str, body: bytes = b"", source: str = HERE
) -> Answer:
    """Send one HTTP/1.1 request with the target exactly as given, and read its answer."""
    length = [f"Content-Length: {len(body)}"] if body else []
    head = [f"{method} {target} HTTP/1.1", f"Host: {NAME}", "Connection: close", *length, *lines]
    request = "\r\n".join([*head, "", ""]).encode("latin-1")
    return parse_answer(send_tls(nginx, request, body, source=source))


def parse_answer(received: bytes) -> Answer:
    """Read the one answer in what came over a connection."""
    head, _, content = received.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    is_json = "json" in headers.get("content-type", "")
    return Answer(int(status.split(" ")[1]), headers, json.loads(content) if is_json else content)
