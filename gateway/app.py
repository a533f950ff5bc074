"""Put the server together: the prediction door in front, FastAPI behind it."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable, MutableMapping
from importlib import metadata
from typing import Any

from fastapi import Depends, FastAPI

from gateway.attempts import AttemptWindows
from gateway.dataplane.asgi import PredictionDoor
from gateway.dataplane.openapi import install_openapi
from gateway.dataplane.paths import is_prediction
from gateway.dataplane.request_ids import RequestIds
from gateway.middleware import App, ControlPlaneEdge, Receive, Send
from gateway.observability.reporting import SILENT, Reporting
from gateway.problem_handlers import install_problem_handlers
from gateway.public_doors import Guard, create_guard
from gateway.routes import (
    admins,
    api_keys,
    audit,
    clients,
    health,
    leaks,
    limits,
    model_versions,
    models,
    oauth,
    oip,
    oip_health,
    oip_repository,
    pages,
    periods,
    plans,
    sessions,
    tenants,
    trials,
    usage,
    usage_records,
    well_known,
)
from gateway.services import nobody_waits, open_services
from gateway.settings import Settings

TITLE = "Tollgate"
DESCRIPTION = "ONNX models behind API keys, limits and an exact bill."
ROUTERS = (
    health.router,
    models.router,
    model_versions.router,
    trials.router,
    oip_health.router,
    oip.router,
    oip_repository.router,
    usage.router,
    usage_records.router,
    periods.router,
    periods.corrections,
    plans.router,
    tenants.router,
    limits.router,
    api_keys.router,
    clients.router,
    audit.router,
    sessions.router,
    admins.router,
)


class Tollgate:
    """The ASGI application: predictions to their door, everything else to the control plane."""

    def __init__(self, door: PredictionDoor, control_plane: App) -> None:
        self._door = door
        self._control_plane = control_plane

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Route one request by its decoded path; the door reads the path as it was sent."""
        if scope["type"] == "http" and is_prediction(scope["path"]):
            await self._door(scope, receive, send)
        else:
            await self._control_plane(scope, receive, send)


def create_app(
    settings: Settings,
    *,
    on_prepared: Callable[[], None] = nobody_waits,
    reporting: Reporting = SILENT,
) -> Tollgate:
    """Build the server; nothing is opened before its lifespan starts.

    Args:
        settings: of this server.
        on_prepared: called when all is open but what one process at a time may hold.
        reporting: what is told of each request, and of the services.
    """
    observer = reporting.observer
    request_ids = RequestIds(trusts_proxy=settings.trusts_proxy)
    door = PredictionDoor(
        request_ids=request_ids,
        observer=observer,
        max_body_bytes=settings.max_body_bytes,
        timeout_seconds=settings.request_timeout_seconds,
        trusts_proxy=settings.trusts_proxy,
    )
    control_plane = create_control_plane(settings, on_prepared=on_prepared, reporting=reporting)
    edge = ControlPlaneEdge(
        control_plane,
        request_ids=request_ids,
        observer=observer,
        max_upload_bytes=settings.max_upload_bytes,
    )
    return Tollgate(door, edge)


def create_control_plane(
    settings: Settings, *, on_prepared: Callable[[], None], reporting: Reporting
) -> FastAPI:
    """Build the FastAPI app with every route, its errors as problems, and docs without a CDN."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, object]]:
        async with (
            open_services(settings, on_prepared=on_prepared) as services,
            reporting.watching(services),
        ):
            app.state.registry = services.registry
            yield {"services": services, "observer": reporting.observer}

    app = FastAPI(
        title=TITLE,
        description=DESCRIPTION,
        version=metadata.version("tollgate"),
        lifespan=lifespan,
        openapi_url=None,  # FastAPI's own pages cannot be guarded; ours are in `routes/pages.py`
        redirect_slashes=False,  # a path that is not served is a 404, with or without a slash
    )
    guard = _guard(settings, settings.public_requests_per_minute)
    public = (pages.router, well_known.router, leaks.router)
    for router in public:
        app.include_router(router, dependencies=[Depends(guard)])
    token_guard = _guard(settings, settings.token_requests_per_minute)
    app.include_router(oauth.router, dependencies=[Depends(token_guard)])
    for router in ROUTERS:
        app.include_router(router)
    install_problem_handlers(app, (*public, oauth.router, *ROUTERS))
    install_openapi(app)
    return app


def _guard(settings: Settings, limit: int) -> Guard:
    windows = AttemptWindows(now=time.monotonic)
    return create_guard(limit, windows, trusts_proxy=settings.trusts_proxy)
