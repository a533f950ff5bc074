"""A server in this process with its gRPC door, a connection to it and a customer."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auth.scopes import PREDICT
from gateway.app import create_app
from gateway.cli.migrate import bring_up_to_date
from gateway.services import Services
from gateway.settings import Settings
from tests.actors import TESTER
from tests.grpc_door import GrpcCaller, grpc_caller, running_grpc
from tests.repositories import scaled_model, write_model
from tests.serving import free_port
from tests.unit.gateway.routes.control_plane import running_app
from tests.unit.inference.onnx_models import linear_model

CAP = 64 * 1024


@dataclass(frozen=True)
class Door:
    """A server, a connection to it, and a customer with a plan."""

    services: Services
    caller: GrpcCaller
    tenant_id: str
    key: str

    async def key_with(self, *scopes: str) -> str:
        """Issue another key of the customer."""
        store = self.services.store
        issued = await store.create_key(self.tenant_id, actor=TESTER, name="k", scopes=scopes)
        return issued.api_key

    async def billed(self) -> list[tuple[str, int, str]]:
        """List protocol, rows and request id of all that the customer is billed for."""
        await self.services.shipper.ship()
        async with self.services.engine.connect() as connection:
            query = "SELECT protocol, rows, request_id FROM usage_records ORDER BY occurred_at_us"
            found: list[Any] = [*await connection.exec_driver_sql(query)]
            return [tuple(row) for row in found]


@contextlib.asynccontextmanager
async def open_door(
    folder: Path, *, requests_per_second: float | None = None, **options: object
) -> AsyncIterator[Door]:
    """Run the app and its gRPC server."""
    write_model(folder / "models", "linear", linear_model())
    for version in (1, 2):
        write_model(folder / "models", "scaled", scaled_model(version), version=version)
    settings = Settings.model_validate(
        {
            "data_dir": folder / "var",
            "model_repository": folder / "models",
            "grpc_port": free_port(),
            "max_body_bytes": CAP,
            **options,
        }
    )
    await bring_up_to_date(settings)
    async with (
        running_app(create_app(settings)) as (_, services),
        running_grpc(services),
        grpc_caller(f"127.0.0.1:{settings.grpc_port}") as caller,
    ):
        store = services.store
        plan = await store.create_plan(
            actor=TESTER,
            name="p",
            requests_per_second=requests_per_second,
            burst=1 if requests_per_second else None,
            units_per_month=1000,
            max_in_flight=None,
        )
        tenant = await store.create_tenant(
            actor=TESTER, name="t", plan_id=plan.plan_id, models=["*"]
        )
        key = await store.create_key(tenant.tenant_id, actor=TESTER, name="k", scopes=[PREDICT])
        yield Door(services, caller, tenant.tenant_id, key.api_key)
