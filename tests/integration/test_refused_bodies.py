"""What refuses a request keeps nothing of it: a body may have 64 MB, and refusals cost nothing."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import httpx
import numpy as np
import pytest

from auth.scopes import PREDICT
from gateway.app import create_app
from gateway.cli.migrate import bring_up_to_date
from gateway.dataplane.asgi import PredictionDoor
from gateway.dataplane.grpc_door import GrpcDoor
from gateway.services import Services
from gateway.settings import Settings
from inference.batcher import Batcher
from tests.actors import TESTER
from tests.grpc_door import grpc_caller, running_grpc
from tests.repositories import write_model
from tests.serving import free_port
from tests.unit.gateway.routes.control_plane import running_app
from tests.unit.inference.onnx_models import linear_model, lookup_model

PATH = "/v1/models/linear:predict"
GOOD = b'{"instances": [[1, 2, 3]]}'
HTTP_REFUSALS = {
    "no JSON": (400, PATH, b"{", {}),
    "no tensor": (422, PATH, b'{"instances": [[1]]}', {}),
    "too many rows": (413, PATH, b'{"instances": [' + b"[1,2,3]," * 5000 + b"[1,2,3]]}", {}),
    "not finite": (422, PATH, b'{"instances": [[3e38, 3e38, 3e38]]}', {}),
    "failed": (400, "/v1/models/lookup:predict", b'{"instances": [99]}', {}),
    "too late": (504, PATH, GOOD, {"X-Request-Timeout": "0.000001"}),
    "no such model": (404, "/v1/models/none:predict", GOOD, {}),
    "no credential": (401, PATH, GOOD, {"Authorization": "Bearer tg_live_no"}),
}


class Running:
    """A server in this process, and a key to it."""

    def __init__(self, app: Any, services: Services, *, key: str) -> None:  # noqa: ANN401 - ASGI
        self.services = services
        self.key = key
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app),
            base_url="http://tollgate",
            headers={"Authorization": f"Bearer {key}"},
        )


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    """Run a server with a model that answers all numbers and one that fails on most."""
    write_model(tmp_path / "models", "linear", linear_model())
    write_model(tmp_path / "models", "lookup", lookup_model())
    settings = Settings.model_validate(
        {
            "data_dir": tmp_path / "var",
            "model_repository": tmp_path / "models",
            "grpc_port": free_port(),
        }
    )
    await bring_up_to_date(settings)
    async with running_app(create_app(settings)) as (app, services):
        tenant = await services.store.create_tenant(
            actor=TESTER, name="t", plan_id=None, models=["*"]
        )
        issued = await services.store.create_key(
            tenant.tenant_id, actor=TESTER, name="k", scopes=[PREDICT]
        )
        yield Running(app, services, key=issued.api_key)


@pytest.fixture
def left_behind() -> Iterator[Callable[[Callable[..., object]], list[FrameType]]]:
    """Give what finds the frames of a function that is over, with nothing collected meanwhile."""
    gc.collect()
    gc.disable()

    def frames_of(function: Callable[..., object]) -> list[FrameType]:
        code: CodeType = function.__code__
        return [
            frame
            for frame in gc.get_objects()
            if isinstance(frame, FrameType) and frame.f_code is code
        ]

    yield frames_of
    gc.enable()


@pytest.mark.parametrize("name", HTTP_REFUSALS)
async def test_refusal_over_http_keeps_no_body(
    running: Running, left_behind: Callable[..., list[FrameType]], name: str
) -> None:
    """The frames through which it came are gone with it, without the garbage collector."""
    status, path, body, headers = HTTP_REFUSALS[name]
    answer = await running.client.post(path, content=body, headers=headers)
    assert answer.status_code == status
    await asyncio.sleep(0)  # the loop holds what it is running
    assert left_behind(PredictionDoor._outcome) == []
    assert left_behind(PredictionDoor._answer) == []
    assert left_behind(Batcher.predict) == []


@pytest.mark.parametrize(
    ("model", "columns", "code"), [("none", 3, "NOT_FOUND"), ("linear", 2, "INVALID_ARGUMENT")]
)
async def test_refusal_over_grpc_keeps_no_message(
    running: Running,
    left_behind: Callable[..., list[FrameType]],
    *,
    model: str,
    columns: int,
    code: str,
) -> None:
    """The same for a message."""
    port = running.services.settings.grpc_port
    async with running_grpc(running.services), grpc_caller(f"127.0.0.1:{port}") as caller:
        rows = np.ones((1, columns), np.float32)
        assert (await caller.infer(model, key=running.key, x=rows)).code == code
        await asyncio.sleep(0)
        assert left_behind(GrpcDoor.infer) == []
        assert left_behind(GrpcDoor._outcome) == []
