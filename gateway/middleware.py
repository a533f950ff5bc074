"""What stands around every control-plane request: an id, a body cap and a clean path.

Plain ASGI, because each layer of FastAPI's own middleware costs more than these checks together.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any, Final

from gateway.dataplane.request_ids import RequestIds
from gateway.errors import BodyTooLarge, BodyTooSlow, RouteNotFound
from gateway.observability.exchange import Exchange
from gateway.observability.observer import RequestObserver
from gateway.problems import noted_problem, send_problem

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

MAX_CONTROL_BODY_BYTES: Final = 1024 * 1024
BODY_SECONDS: Final = 30.0
"""How long a body may take; of a version that is uploaded, each piece."""

_UPLOAD_PATH: Final = re.compile(r"/v1/models/[^/]+/versions/[^/]+")
_HOSTILE_PATH: Final = re.compile(
    rb"//|;|\\|(?:^|/)\.{1,2}(?:/|$)|%(?:[01][0-9a-f]|7f|2e|2f|5c|3b|25)", re.IGNORECASE
)
_SECURITY_HEADERS: Final = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
]


class ControlPlaneEdge:
    """Give each request an id, refuse what no route may see, and bound the body in size and time.

    Threat: whoever opens the doors that ask for no credential, and sends half a body, would hold a
    connection for as long as it likes.
    """

    def __init__(
        self,
        app: App,
        *,
        request_ids: RequestIds,
        observer: RequestObserver,
        max_upload_bytes: int = MAX_CONTROL_BODY_BYTES,
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        self._max_upload_bytes = max_upload_bytes
        self._body_seconds = body_seconds
        self._app = app
        self._request_ids = request_ids
        self._observer = observer

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request or lifespan through the wrapped app."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = self._request_ids.take(scope["headers"])
        exchange = self._observer.begin(scope, request_id, route="")
        state = scope.setdefault("state", {})
        state["request_id"], state["exchange"] = request_id, exchange
        told = _told(scope, send, partial(self._observer.finish, exchange))
        try:
            is_upload = _is_upload(scope)
            cap = self._max_upload_bytes if is_upload else MAX_CONTROL_BODY_BYTES
            refusal = _refusal(scope, cap)
            if refusal is None:
                timely = _timely(receive, self._body_seconds, is_upload=is_upload)
                await self._app(scope, _capped(timely, exchange, cap), told)
            else:
                problem = noted_problem(refusal, request_id)
                exchange.code = problem.code
                await send_problem(told, problem, request_id)
        finally:
            self._observer.end()


def _is_upload(scope: MutableMapping[str, Any]) -> bool:
    """Say whether it is the one operation that takes models, which first asks who calls."""
    return scope["method"] == "PUT" and _UPLOAD_PATH.fullmatch(scope["path"]) is not None


def _refusal(scope: MutableMapping[str, Any], max_bytes: int) -> Exception | None:
    """Judge a request by its path and announced length alone.

    Threat: `%2e%2e`, `//` or `%2f` that one hop reads as a path and the next as a name reach a
    route with another route's rights. No route of ours needs them.
    """
    if _HOSTILE_PATH.search(scope["raw_path"].partition(b"?")[0]):
        return RouteNotFound()
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > max_bytes:
            return BodyTooLarge(max_bytes)
    return None


def _capped(receive: Receive, exchange: Exchange, max_bytes: int) -> Receive:
    exchange.bytes_in = 0
    seen = 0

    async def receive_capped() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        exchange.bytes_in = seen
        if seen > max_bytes:
            raise BodyTooLarge(max_bytes)
        return message

    return receive_capped


def _timely(receive: Receive, seconds: float, *, is_upload: bool) -> Receive:
    """Bound the wait for a body: from its first piece to its last, in an upload for each piece.

    What comes behind it is not waited for but listened to: a client that leaves.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    has_more = True

    async def receive_in_time() -> Message:
        nonlocal has_more
        if not has_more:
            return await receive()
        try:
            async with asyncio.timeout_at(clock() + seconds if is_upload else deadline):
                message = await receive()
        except TimeoutError:
            raise BodyTooSlow from None
        has_more = message.get("more_body", False)
        return message

    return receive_in_time


def _told(scope: MutableMapping[str, Any], send: Send, finish: Callable[[], None]) -> Send:
    """Add headers to the answer, and note how the request ends before the answer leaves."""
    exchange: Exchange = scope["state"]["exchange"]
    added = [(b"x-request-id", exchange.request_id.encode()), *_SECURITY_HEADERS]

    async def send_and_tell(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {name.lower(): value for name, value in message.get("headers", [])}
            missing = [item for item in added if item[0] not in given]
            message["headers"] = [*message.get("headers", []), *missing]
            exchange.route = getattr(scope.get("route"), "path", "")
            exchange.status = message["status"]
            exchange.bytes_out = int(given.get(b"content-length", b"0"))
            finish()
        await send(message)

    return send_and_tell
