"""Say where gRPC is served, and keep the port for the workers of one server."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

from gateway.errors import StartRefused
from gateway.settings import Settings


def grpc_socket(settings: Settings, worker: int) -> Path | None:
    """Return the unix socket of a worker, `NAME-grpc-0.sock` beside `NAME.sock`; None on a port."""
    path = settings.unix_socket
    return None if path is None else path.with_name(f"{path.stem}-grpc-{worker}{path.suffix}")


def grpc_target(settings: Settings) -> str:
    """Return where callers reach gRPC on a port; empty where they do not."""
    if not settings.grpc_port or settings.unix_socket is not None:
        return ""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{host}:{settings.grpc_port}"


@contextlib.contextmanager
def holding_grpc_port(settings: Settings) -> Iterator[None]:
    """Hold the port for the length of a block, without listening on it.

    Threat: the workers share the port, and the system would share it with another server of the
    same user as well, so that each would get some of the other's calls.

    Raises:
        StartRefused: somebody else listens there.
    """
    if not grpc_target(settings):
        yield
        return
    with _bound(settings, shared=False):
        pass
    with _bound(settings, shared=True):
        yield


def _bound(settings: Settings, *, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    taken = socket.socket(family)
    if shared:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    else:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((settings.host, settings.grpc_port))
    except OSError as error:
        taken.close()
        raise StartRefused(
            f"cannot serve gRPC on {settings.host} port {settings.grpc_port}: "
            f"{error.strerror}; choose another with TOLLGATE_GRPC_PORT, or 0 for none"
        ) from None
    return taken
