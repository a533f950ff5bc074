"""Take the socket that the workers share, and refuse settings that would break a promise."""

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gateway.addresses import is_loopback
from gateway.errors import StartRefused
from gateway.settings import Settings

BACKLOG: Final = 4096
_NOT_FOR_OTHERS: Final = 0o117
_ANSWER_SECONDS: Final = 1.0
_REACHED_AT: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not bound to # nosec B104


def check_servable(settings: Settings) -> None:
    """Pass if a server may run with these settings.

    Threat: without TLS in front, keys cross the network readable; several workers or servers that
    count for themselves would each grant the whole limit.

    Raises:
        StartRefused: saying which setting to change.
    """
    if settings.workers > 1 and not settings.redis_url:
        raise StartRefused(
            f"{settings.workers} workers without a Redis would each grant the whole limit: set "
            "TOLLGATE_REDIS_URL, or use one worker"
        )
    if settings.replicas > 1 and not (
        settings.redis_url and _is_shared(settings.database_url.get_secret_value())
    ):
        raise StartRefused(
            f"{settings.replicas} replicas share limits, keys and the bill: set TOLLGATE_REDIS_URL "
            "and a TOLLGATE_DATABASE_URL of PostgreSQL, or TOLLGATE_REPLICAS=1"
        )
    if settings.unix_socket or settings.allow_plaintext or is_loopback(settings.host):
        return
    raise StartRefused(
        f"{settings.host} is not loopback and TLS ends in Nginx: keys would travel in the "
        "clear. Listen on 127.0.0.1, or say --insecure (TOLLGATE_ALLOW_PLAINTEXT=1) where a "
        "proxy in front speaks TLS"
    )


@contextlib.contextmanager
def listening(settings: Settings) -> Iterator[socket.socket]:
    """Hold the socket for the length of a block; the file of a unix socket goes with it.

    Raises:
        StartRefused: as `listen` does.
    """
    with listen(settings) as listener:
        path = settings.unix_socket
        inode = _inode(path)
        try:
            yield listener
        finally:
            if path is not None and _inode(path) == inode:
                path.unlink(missing_ok=True)


def listen(settings: Settings) -> socket.socket:
    """Take the socket before anything is opened; callers who come early wait in the backlog.

    Raises:
        StartRefused: the address is taken, not allowed or not of this machine.
    """
    if settings.unix_socket is not None:
        return _listen_on_file(settings.unix_socket)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise StartRefused(
            f"cannot listen on {settings.host} port {settings.port}: {_reason(error)}; "
            "choose another with --port or TOLLGATE_PORT"
        ) from None


def url_of(listener: socket.socket) -> str:
    """Say under which URL the socket is reached; a unix socket as Nginx names it."""
    if listener.family == socket.AF_UNIX:
        return f"unix:{listener.getsockname()}"
    host, port = listener.getsockname()[:2]
    host = _REACHED_AT.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _listen_on_file(path: Path) -> socket.socket:
    """Listen on a file for the owner and the group, which is how Nginx is let in.

    Threat: whoever connects is believed as the proxy, so others may not.
    """
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX)
    mask = os.umask(_NOT_FOR_OTHERS)
    try:
        listener.bind(str(path))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise StartRefused(
            f"cannot listen on {path}: {_reason(error)}; choose another with --unix-socket or "
            "TOLLGATE_UNIX_SOCKET"
        ) from None
    finally:
        os.umask(mask)
    return listener


def _remove_stale(path: Path) -> None:
    """Remove what an earlier run that was killed left; nothing else, and not while it answers."""
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except OSError:
        return
    if not is_socket:
        raise StartRefused(f"{path} is no socket, and is left alone: choose another path")
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(_ANSWER_SECONDS)
        try:
            caller.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            raise StartRefused(f"{path} cannot be asked who listens: {_reason(error)}") from None
    raise StartRefused(f"cannot listen on {path}: another server answers there")


def _inode(path: Path | None) -> int | None:
    try:
        return None if path is None else path.lstat().st_ino
    except FileNotFoundError:
        return None


def _is_shared(database_url: str) -> bool:
    return database_url.startswith("postgres")


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).partition(" (while")[0]
