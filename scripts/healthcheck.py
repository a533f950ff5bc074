"""Ask the server in this container whether it is ready; exit 0 when it is.

With the standard library alone, since it runs every few seconds beside the server.
"""

import http.client
import os
import socket
import sys

_TIMEOUT_SECONDS = 4.0
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared, not listened on # nosec B104


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_TIMEOUT_SECONDS)
        self.sock.connect(self._path)


def connection_to_server() -> http.client.HTTPConnection:
    """Reach the server where its own settings say that it listens."""
    path = os.environ.get("TOLLGATE_UNIX_SOCKET")
    if path:
        return UnixConnection(path)
    host = os.environ.get("TOLLGATE_HOST") or "127.0.0.1"
    port = int(os.environ.get("TOLLGATE_PORT") or "8000")
    host = "127.0.0.1" if host in _EVERYWHERE else host
    return http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)


def main() -> int:
    """Return the exit status that the engine reads, and print what it may show."""
    connection = connection_to_server()
    try:
        connection.request("GET", "/healthz/ready")
        response = connection.getresponse()
        print(response.read().decode(errors="replace"))
    except (OSError, http.client.HTTPException) as error:
        print(f"no answer: {error}")
        return 1
    finally:
        connection.close()
    return int(response.status != http.HTTPStatus.OK)


if __name__ == "__main__":
    sys.exit(main())
