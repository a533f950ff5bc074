"""Around the control plane: a body comes in time, or its request is refused."""

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import pytest
from fastapi import FastAPI, Request

from gateway.bodies import read_bounded
from gateway.dataplane.request_ids import RequestIds
from gateway.middleware import ControlPlaneEdge
from gateway.observability.observer import RequestObserver
from gateway.problem_handlers import install_problem_handlers

MAX_BYTES = 1000
UPLOAD = ("PUT", "/v1/models/m/versions/1")
LOG_IN = ("POST", "/log-in")

Message = MutableMapping[str, Any]


def app() -> FastAPI:
    """Build an app whose operations read their body, as those of the control plane do."""
    built = FastAPI()
    install_problem_handlers(built, [])

    @built.post(LOG_IN[1])
    @built.put(UPLOAD[1])
    async def length(request: Request) -> int:
        return len(await read_bounded(request, max_bytes=MAX_BYTES))

    return built


async def pieces(*bodies: bytes, wait_seconds: float = 0.0) -> AsyncIterator[Message]:
    """Give pieces of a body, one after the other, and never its end."""
    for body in bodies:
        await asyncio.sleep(wait_seconds)
        yield {"type": "http.request", "body": body, "more_body": body != b""}
    await asyncio.Event().wait()


async def status_of(operation: tuple[str, str], body: AsyncIterator[Message], **bounds: Any) -> int:  # noqa: ANN401 - of the edge
    """Ask, and return the status of the answer."""
    method, path = operation
    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode()}
    scope |= {"headers": [], "query_string": b"", "http_version": "1.1", "server": ("x", 80)}
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    edge = ControlPlaneEdge(
        app(), request_ids=RequestIds(), observer=RequestObserver(), max_upload_bytes=9999, **bounds
    )
    await edge(scope, body.__anext__, send)
    status: int = sent[0]["status"]
    return status


@pytest.mark.parametrize("operation", [LOG_IN, UPLOAD])
@pytest.mark.parametrize("begun", [(), (b"{",), (b"{", b" ")])
async def test_body_that_stops_is_refused(
    operation: tuple[str, str], begun: tuple[bytes, ...]
) -> None:
    """Nobody waits for the rest for ever."""
    assert await status_of(operation, pieces(*begun), body_seconds=0.01) == 408


async def test_body_that_trickles_is_refused() -> None:
    """A byte now and then buys no time."""
    trickle = pieces(*[b"x"] * MAX_BYTES, wait_seconds=0.01)
    assert await status_of(LOG_IN, trickle, body_seconds=0.05) == 408


async def test_upload_may_take_its_time() -> None:
    """A model is large; only a pause ends it."""
    upload = pieces(*[b"x"] * 20, b"", wait_seconds=0.05)
    assert await status_of(UPLOAD, upload, body_seconds=0.9) == 200
