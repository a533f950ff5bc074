"""Ask the running app from any address, by either of its doors."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from auth.bindings import UNBOUND, Bindings
from auth.scopes import TENANT_SCOPES
from auth.tenants import PLATFORM_TENANT_ID
from gateway.app import create_app
from gateway.cli.migrate import bring_up_to_date
from gateway.services import Services
from gateway.settings import Settings
from tests.actors import TESTER
from tests.unit.gateway.routes.control_plane import running_app

PREDICT = ("POST", "/v1/models/double:predict")
READ = ("GET", "/v1/models")
DOORS = pytest.mark.parametrize("door", [PREDICT, READ], ids=["data plane", "control plane"])


class Door:
    """The running app, asked from any address."""

    def __init__(self, app: Any, services: Services) -> None:  # noqa: ANN401 - any ASGI app
        self._app = app
        self.services = services

    async def ask(
        self,
        operation: tuple[str, str],
        *,
        key: str = "",
        peer: tuple[str, int] | None = ("192.0.2.7", 1),
        forwarded: str = "",
        form: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Send one request from an address."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        headers |= {"X-Forwarded-For": forwarded} if forwarded else {}
        transport = httpx.ASGITransport(self._app, client=peer)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://tollgate") as client:
            method, path = operation
            body = b'{"instances": [{"amount": 21}]}' if method == "POST" else None
            content = None if form else body
            return await client.request(method, path, headers=headers, content=content, data=form)

    async def statuses(self, count: int, operation: tuple[str, str], **options: Any) -> list[int]:  # noqa: ANN401
        """Send a request several times."""
        return [(await self.ask(operation, **options)).status_code for _ in range(count)]

    async def good_key(self, bindings: Bindings = UNBOUND) -> str:
        """Issue a key."""
        issued = await self.services.store.create_key(
            PLATFORM_TENANT_ID,
            actor=TESTER,
            name="good",
            scopes=TENANT_SCOPES,
            bindings=bindings,
        )
        return issued.api_key


@contextlib.asynccontextmanager
async def open_door(settings: Settings, **changed: object) -> AsyncIterator[Door]:
    """Run the app with some settings changed."""
    settings = settings.model_copy(update=changed)
    await bring_up_to_date(settings)
    async with running_app(create_app(settings)) as (app, services):
        yield Door(app, services)
