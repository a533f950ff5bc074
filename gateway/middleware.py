"""What stands around every control-plane request: an id, a body cap and a clean path.

Plain ASGI, because each layer of FastAPI's own middleware costs more than these checks together.
"""

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from gateway.dataplane.request_ids import RequestIds
from gateway.errors import BodyTooLarge, RouteNotFound
from gateway.problems import send_problem

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

MAX_CONTROL_BODY_BYTES: Final = 1024 * 1024
_HOSTILE_PATH: Final = re.compile(
    rb"//|;|\\|(?:^|/)\.{1,2}(?:/|$)|%(?:[01][0-9a-f]|7f|2e|2f|5c|3b|25)", re.IGNORECASE
)
_SECURITY_HEADERS: Final = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
]


class ControlPlaneEdge:
    """Give each request an id, refuse what no route may see, and cap the body."""

    def __init__(self, app: App, *, request_ids: RequestIds) -> None:
        self._app = app
        self._request_ids = request_ids

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request or lifespan through the wrapped app."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = self._request_ids.take(scope["headers"])
        scope.setdefault("state", {})["request_id"] = request_id
        refusal = _refusal(scope)
        if refusal is not None:
            await send_problem(send, refusal, request_id)
            return
        await self._app(scope, _capped(receive), _with_headers(send, request_id))


def _refusal(scope: MutableMapping[str, Any]) -> Exception | None:
    """Judge a request by its path and announced length alone.

    Threat: `%2e%2e`, `//` or `%2f` that one hop reads as a path and the next as a name reach a
    route with another route's rights. No route of ours needs them.
    """
    if _HOSTILE_PATH.search(scope["raw_path"].partition(b"?")[0]):
        return RouteNotFound()
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > MAX_CONTROL_BODY_BYTES:
            return BodyTooLarge(MAX_CONTROL_BODY_BYTES)
    return None


def _capped(receive: Receive) -> Receive:
    seen = 0

    async def receive_capped() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > MAX_CONTROL_BODY_BYTES:
            raise BodyTooLarge(MAX_CONTROL_BODY_BYTES)
        return message

    return receive_capped


def _with_headers(send: Send, request_id: str) -> Send:
    added = [(b"x-request-id", request_id.encode()), *_SECURITY_HEADERS]

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = list(message.get("headers", []))
            names = {name.lower() for name, _ in given}
            message["headers"] = given + [item for item in added if item[0] not in names]
        await send(message)

    return send_with_headers
