"""Bytes on a socket of one's own, for requests that no HTTP library would send."""

import contextlib
import re
import socket

ANSWER_SECONDS = 30.0
"""Bound on waiting for an answer: a server that hangs fails the test, and nothing is timed."""

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


def send_raw(port: int, *pieces: bytes) -> bytes:
    """Send bytes and return everything that comes back until the server closes.

    Send `Connection: close` where the server has no other reason to. A server that closes before it
    has read everything is no error: its answer counts.
    """
    with socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for piece in pieces:
                connection.sendall(piece)
        return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    """Read until the other side closes."""
    received = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            received += piece
    return bytes(received)


def statuses(received: bytes) -> list[int]:
    """List the status of every answer in what came back over one connection."""
    return [int(status) for status in _STATUS.findall(received)]
