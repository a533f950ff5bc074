"""Run the real app over a data folder of its own, with callers who hold real keys."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, MutableMapping
from dataclasses import dataclass
from typing import Any

import httpx

from auth.scopes import ALL_SCOPES, TENANT_SCOPES
from auth.tenants import PLATFORM_TENANT_ID
from gateway.app import create_app
from gateway.middleware import Receive, Send
from gateway.services import Services
from gateway.settings import Settings
from tests.actors import TESTER

Message = MutableMapping[str, Any]


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody with a key."""

    client: httpx.AsyncClient
    tenant_id: str
    key_id: str
    api_key: str

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401
        """Send a request with the caller's key."""
        headers = {"Authorization": f"Bearer {self.api_key}"}
        return await self.client.request(method, path, headers=headers, **options)

    async def get(self, path: str, **params: str | int) -> httpx.Response:
        """Read something."""
        return await self.call("GET", path, params=params)

    async def post(self, path: str, body: object) -> httpx.Response:
        """Send something."""
        return await self.call("POST", path, json=body)


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """A running app, an admin of the platform and two customers that must never meet."""

    client: httpx.AsyncClient
    services: Services
    admin: Caller
    customer: Caller
    stranger: Caller

    async def caller(self, tenant_id: str, *scopes: str, is_test: bool = False) -> Caller:
        """Issue a key with these scopes and return who holds it."""
        issued = await self.services.store.create_key(
            tenant_id, actor=TESTER, name="caller", scopes=scopes, is_test=is_test
        )
        return Caller(self.client, tenant_id, issued.key.key_id, issued.api_key)


@contextlib.asynccontextmanager
async def open_control_plane(settings: Settings) -> AsyncIterator[ControlPlane]:
    """Start the app as a server would, and make its callers."""
    async with running_app(create_app(settings)) as (app, services):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://tollgate") as client:
            yield await _with_callers(client, services)


@contextlib.asynccontextmanager
async def running_app(app: Any) -> AsyncIterator[tuple[Any, Services]]:  # noqa: ANN401 - any ASGI app
    """Run the lifespan in a task of its own, as servers do, and hand its state to requests."""
    state: dict[str, Any] = {}
    to_app: asyncio.Queue[Message] = asyncio.Queue()
    from_app: asyncio.Queue[Message] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": state}
    lifespan = asyncio.create_task(app(scope, to_app.get, from_app.put))
    await _step("startup", to_app, from_app)

    async def serve(scope: Message, receive: Receive, send: Send) -> None:
        scope["state"] = dict(state)
        await app(scope, receive, send)

    try:
        yield serve, state["services"]
    finally:
        await _step("shutdown", to_app, from_app)
        await lifespan


async def _step(
    name: str, to_app: asyncio.Queue[Message], from_app: asyncio.Queue[Message]
) -> None:
    await to_app.put({"type": f"lifespan.{name}"})
    answer = await from_app.get()
    assert answer["type"] == f"lifespan.{name}.complete", answer


async def _with_callers(client: httpx.AsyncClient, services: Services) -> ControlPlane:
    store = services.store
    plan = await store.create_plan(
        actor=TESTER,
        name="test",
        requests_per_second=1000,
        burst=1000,
        units_per_month=None,
        max_in_flight=None,
    )
    callers = []
    for name in ("customer", "stranger"):
        tenant = await store.create_tenant(
            actor=TESTER, name=name, plan_id=plan.plan_id, models=("*",)
        )
        issued = await store.create_key(
            tenant.tenant_id, actor=TESTER, name=name, scopes=TENANT_SCOPES
        )
        callers.append(Caller(client, tenant.tenant_id, issued.key.key_id, issued.api_key))
    admin = await store.create_key(
        PLATFORM_TENANT_ID, actor=TESTER, name="admin", scopes=ALL_SCOPES
    )
    platform = Caller(client, PLATFORM_TENANT_ID, admin.key.key_id, admin.api_key)
    return ControlPlane(client, services, platform, *callers)
