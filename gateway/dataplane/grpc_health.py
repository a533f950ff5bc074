"""Say over gRPC whether the server can serve, as load balancers ask it; everybody may.

Source: gRPC, "GRPC Health Checking Protocol" (grpc.health.v1).
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from gateway.dataplane.grpc_door import SERVICE

_SERVICES: Final = ("", SERVICE, health.SERVICE_NAME)
_PAUSE_SECONDS: Final = 1.0
MAX_WATCHERS: Final = 64


class GrpcHealth(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # a generated class
    """Answer `Check` and `Watch` from what `is_ready` says at that moment.

    Threat: nobody needs a credential here, so few may keep a stream open.
    """

    def __init__(self, is_ready: Callable[[], bool]) -> None:
        self._is_ready = is_ready
        self._watchers = 0

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: ANN401, N802 - generated classes, the protocol's name
        """Tell how it is now; an unknown service is NOT_FOUND."""
        if request.service not in _SERVICES:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service")
        return self._told(request.service)

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: ANN401, N802 - the same
        """Tell how it is, and again whenever that changes, at most a second later."""
        if self._watchers >= MAX_WATCHERS:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many watch already")
        self._watchers += 1
        try:
            told = None
            while True:
                answer = self._told(request.service)
                if answer != told:
                    told = answer
                    yield answer
                await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            self._watchers -= 1

    def _told(self, service: str) -> Any:  # noqa: ANN401 - a generated class
        statuses = health_pb2.HealthCheckResponse
        if service not in _SERVICES:
            return statuses(status=statuses.SERVICE_UNKNOWN)
        return statuses(status=statuses.SERVING if self._is_ready() else statuses.NOT_SERVING)
