"""Run the server in this process: start uvicorn on a socket, and fail in one line.

uvicorn runs with uvloop and httptools, without its own access log and `Server` header,
and without belief in forwarding headers.
"""

import contextlib
import gc
import logging
import resource
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn

from gateway.acceptor import Share, Undivided
from gateway.app import create_app
from gateway.grpc_server import GrpcServer
from gateway.http_protocol import BoundedHttpProtocol
from gateway.http_server import GatewayServer
from gateway.middleware import App, Receive, Send
from gateway.observability.board import Board
from gateway.observability.log_lines import start_log
from gateway.observability.reporting import start_reporting
from gateway.services import Services, nobody_waits
from gateway.settings import Settings

_OBJECTS_BETWEEN_COLLECTIONS = 10_000
KEEP_ALIVE_SECONDS = 75  # longer than Nginx keeps an idle connection, so that Nginx closes first

OnReady = Callable[[Services], Awaitable[None]]
OnPrepared = Callable[[], None]


def run_server(
    settings: Settings,
    listener: socket.socket,
    *,
    on_ready: OnReady,
    on_prepared: OnPrepared = nobody_waits,
    idle_seconds: float = 0.0,
    share: Share | None = None,
    board: Board | None = None,
    worker: int = 0,
) -> None:
    """Serve until a signal says stop; then finish what was begun.

    Args:
        settings: of this server.
        listener: bound and listening; it is closed here.
        on_ready: called once, when requests can be served.
        on_prepared: called once, when nothing is missing but what another worker still holds.
        idle_seconds: how long idle connections are kept at the end.
        share: of the connections, where other workers accept them too.
        board: where requests are counted; None where nobody reads metrics.
        worker: number of this process among the workers of its server.

    Raises:
        StartRefused: and every other error that the start met, as it was raised.
    """
    reporting = start_reporting(settings, start_log(settings), board=board)
    _allow_many_connections()
    grpc_server = GrpcServer(settings, reporting.observer, worker=worker)
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # the command tells a failed start
    served = create_app(settings, on_prepared=on_prepared, reporting=reporting)
    app = ObservedStart(served, on_ready=_beginning(grpc_server, on_ready))
    server = GatewayServer(
        _config(app),
        drain_seconds=settings.drain_seconds,
        idle_seconds=idle_seconds,
        share=share or Undivided(),
        companion=grpc_server,
    )
    with listener, contextlib.suppress(SystemExit):  # how uvicorn tells a failed start
        server.run(sockets=[listener])
    if app.failure is not None:
        raise app.failure


def _beginning(grpc_server: GrpcServer, on_ready: OnReady) -> OnReady:
    """Return what is done once the services are open."""

    async def begin(services: Services) -> None:
        await grpc_server.start(services)
        await on_ready(services)
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
        spare_the_collector()

    return begin


def _config(app: App) -> uvicorn.Config:
    return uvicorn.Config(
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
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )


def spare_the_collector() -> None:
    """Take everything that lives as long as the server out of the garbage collector's walks.

    A full collection over the imported packages stops the event loop for 70 ms, once for every few
    thousand requests. A request leaves no cycle behind, so the requests under way are looked at
    only when far more objects were added than those of a full house: at Python's 700 it is done
    every thirty requests, and costs each of them 5 % more.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)


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


def _allow_many_connections() -> None:
    """Take all the file descriptors that the system allows; a connection needs one.

    Threat: with the usual soft limit, a thousand silent connections shut everybody else out.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
