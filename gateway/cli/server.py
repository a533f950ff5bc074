"""Run the server in this process: take the port, start uvicorn, and fail in one line.

uvicorn runs with uvloop and httptools, without an access log (the usage ledger is the record),
without its `Server` header, and without belief in forwarding headers.
"""

import contextlib
import gc
import ipaddress
import logging.config
import resource
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn

from gateway.app import create_app
from gateway.errors import StartRefused
from gateway.http_protocol import BoundedHttpProtocol
from gateway.middleware import App, Receive, Send
from gateway.services import Services
from gateway.settings import Settings

BACKLOG = 2048
KEEP_ALIVE_SECONDS = 75  # longer than Nginx keeps an idle connection, so that Nginx closes first
GRACE_SECONDS = 10

OnReady = Callable[[Services], Awaitable[None]]


def check_servable(settings: Settings) -> None:
    """Pass if a server may run with these settings.

    Threat: without TLS in front, keys cross the network readable; several workers would need one
    limiter, a journal each and one revocation, or each would grant the whole limit.

    Raises:
        StartRefused: saying which setting to change.
    """
    if settings.workers > 1:
        raise StartRefused(
            f"{settings.workers} workers: this version serves with one process, as the journal and "
            "revocation are not shared by several yet; use one worker"
        )
    if not settings.allow_plaintext and not _is_loopback(settings.host):
        raise StartRefused(
            f"{settings.host} is not loopback and TLS ends in Nginx: keys would travel in the "
            "clear. Listen on 127.0.0.1, or say --insecure (TOLLGATE_ALLOW_PLAINTEXT=1) where a "
            "proxy in front speaks TLS"
        )


def listen(settings: Settings) -> socket.socket:
    """Take the port before anything is opened; callers who come early wait in the backlog.

    Raises:
        StartRefused: the port is taken, not allowed or not of this machine.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise StartRefused(
            f"cannot listen on {settings.host} port {settings.port}: {_reason(error)}; "
            "choose another with --port or TOLLGATE_PORT"
        ) from None


def url_of(listener: socket.socket) -> str:
    """Say under which URL the socket is reached."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - where to reach it
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run_server(settings: Settings, listener: socket.socket, *, on_ready: OnReady) -> None:
    """Serve until a signal says stop; then finish what was begun.

    Raises:
        StartRefused: and every other error that the start met, as it was raised.
    """
    logging.config.dictConfig(_logging(settings.log_level))
    _allow_many_connections()
    server_log = logging.getLogger("uvicorn")

    async def begin(services: Services) -> None:
        await on_ready(services)
        server_log.setLevel(logging.WARNING)
        spare_the_collector()

    server_log.setLevel(logging.CRITICAL)  # a failed start is told once, by the command
    app = ObservedStart(create_app(settings), on_ready=begin)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=BoundedHttpProtocol,
        ws="none",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    with listener, contextlib.suppress(KeyboardInterrupt, SystemExit):  # how uvicorn ends
        uvicorn.Server(config).run(sockets=[listener])
    if app.failure is not None:
        raise app.failure


def spare_the_collector() -> None:
    """Take everything that lives as long as the server out of the garbage collector's walks.

    A full collection over the imported packages stops the event loop for 70 ms, once for every few
    thousand requests.
    """
    gc.collect()
    gc.freeze()


class ObservedStart:
    """Tell when the app has opened its services, and keep the error when it could not."""

    def __init__(self, app: App, *, on_ready: OnReady) -> None:
        self._app = app
        self._on_ready = on_ready
        self.failure: BaseException | None = None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Pass everything on, but for the story of a failed start, which the command tells."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        async def observe(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "lifespan.startup.complete":
                await self._on_ready(scope["state"]["services"])
            if message["type"] == "lifespan.startup.failed":
                message = {"type": "lifespan.startup.failed", "message": ""}
            await send(message)

        try:
            await self._app(scope, receive, observe)
        finally:
            self.failure = sys.exception()


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).partition(" (while")[0]


def _allow_many_connections() -> None:
    """Take all the file descriptors that the system allows; a connection needs one.

    Threat: with the usual soft limit, a thousand silent connections shut everybody else out.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _logging(level: str) -> dict[str, Any]:
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "loggers": {"alembic": {"level": "WARNING"}},
        "root": {"level": level.upper(), "handlers": ["stderr"]},
    }
