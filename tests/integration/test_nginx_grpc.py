"""gRPC through Nginx, over TLS and each worker's own socket."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.fronted import Front, running_front
from tests.grpc_door import GrpcCaller, first_output, grpc_caller, infer_request
from tests.load import Caller
from tests.nginx_server import NginxServer, newer_nginx, running_nginx
from tests.population import make_caller, make_plan, make_tenant, populate
from tests.redis_server import running_redis
from tests.serving import free_port
from tests.typed_models import write_float_models

CAP = 256 * 1024
TRACE = "0af7651916cd43dd8448eb211c80319c"
ROWS = np.array([[0.5], [-2.0]], np.float32)


@contextlib.contextmanager
def grpc_front(folder: Path, *, workers: int = 1, **nginx: str) -> Iterator[Front]:
    """Run nginx, a Redis and workers that serve gRPC."""
    binary = {"binary": nginx.pop("binary")} if "binary" in nginx else {}
    (folder / "redis").mkdir()
    write_float_models(folder / "models")
    with (
        running_redis(folder / "redis") as redis,
        running_front(
            folder,
            workers=workers,
            settings={
                "grpc_port": "1",
                "redis_url": redis.url,
                "model_repository": str(folder / "models"),
                "max_body_bytes": str(CAP),
            },
            nginx={"TOLLGATE_MAX_BODY_BYTES": str(CAP), **nginx},
            **binary,
        ) as front,
    ):
        yield front


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """Run two workers."""
    with grpc_front(tmp_path_factory.mktemp("front"), workers=2, TOLLGATE_WORKERS="3") as running:
        yield running


@pytest.fixture(scope="module")
def customer(front: Front) -> Caller:
    """Make somebody who may predict."""
    return populate(front.stack, tenants=1, keys_each=1)[0]


@contextlib.asynccontextmanager
async def calling(nginx: NginxServer) -> AsyncIterator[GrpcCaller]:
    """Connect to nginx as the clients of the world do."""
    target = nginx.url.removeprefix("https://")
    authority = await asyncio.to_thread(nginx.certificates.authority.read_bytes)
    async with grpc_caller(target, authority=authority, own_connection=True) as caller:
        yield caller


async def test_prediction_has_one_id_everywhere(front: Front, customer: Caller) -> None:
    """Nginx names it: the answer, its log and the bill agree."""
    async with calling(front.nginx) as caller:
        told = await caller.infer("wide", key=customer.api_key, x=ROWS)
    assert first_output(told).tolist() == ROWS.tolist()
    request_id = told.metadata["x-request-id"]
    assert front.nginx.logged(request_id)["path"].endswith("/ModelInfer")
    assert front.billed(customer.tenant_id).count(request_id) == 1


async def test_addresses_of_callers_come_from_nginx(front: Front) -> None:
    """A key that is bound to a network works from there, and a caller cannot say that it is."""
    tenant_id = make_tenant(front.stack, make_plan(front.stack))
    here, elsewhere = (
        make_caller(front.stack, tenant_id, networks=[network]).api_key
        for network in ("127.0.0.0/8", "203.0.113.0/24")
    )
    request = infer_request("wide", x=ROWS)
    spoofed = [("x-forwarded-for", "203.0.113.1")]
    async with calling(front.nginx) as caller:
        told = await caller.call("ModelInfer", request, key=here, metadata=spoofed)
        assert told.code == "OK"
        told = await caller.call("ModelInfer", request, key=elsewhere, metadata=spoofed)
        assert (told.code, told.metadata["tollgate-code"]) == (
            "PERMISSION_DENIED",
            "network_not_allowed",
        )


async def test_trace_of_a_caller_has_no_effect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody outside chooses to which trace his call belongs; no collector is needed to see it."""
    monkeypatch.setenv("TOLLGATE_TRACES", "1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    with grpc_front(tmp_path) as front:
        async with calling(front.nginx) as caller:
            told = await caller.call(
                "ServerLive", metadata=[("traceparent", f"00-{TRACE}-b7ad6b7169203331-01")]
            )
        request_id = told.metadata["x-request-id"]
        front.stack.wait_until(lambda: request_id in front.stack.log(), "the line of the call")
        [line] = [each for each in front.stack.log().splitlines() if request_id in each]
    trace_id = json.loads(line)["trace_id"]
    assert re.fullmatch("[0-9a-f]{32}", trace_id)
    assert trace_id != TRACE


async def test_refusal_of_the_gateway_comes_through(front: Front) -> None:
    """Its status, its sentence and its metadata."""
    async with calling(front.nginx) as caller:
        told = await caller.infer("wide", key="wrong", x=ROWS)
    assert (told.code, told.details) == ("UNAUTHENTICATED", "No valid credential")
    assert told.metadata["www-authenticate"].startswith("Bearer")


async def test_message_over_the_cap_is_refused(front: Front, customer: Caller) -> None:
    """With the status that gRPC has for it, whoever sees it first."""
    async with calling(front.nginx) as caller:
        told = await caller.infer("wide", key=customer.api_key, x=np.ones((1, CAP), np.float32))
    assert told.code == "RESOURCE_EXHAUSTED"


async def test_message_at_the_cap_is_answered(front: Front, customer: Caller) -> None:
    """The frame around it is not counted."""
    overhead = infer_request("wide", x=np.ones((1, CAP // 8), np.float32)).ByteSize() - CAP // 2
    request = infer_request("wide", x=np.ones((1, (CAP - overhead) // 4 - 1), np.float32))
    assert CAP - 8 <= request.ByteSize() <= CAP
    async with calling(front.nginx) as caller:
        assert (await caller.call("ModelInfer", request, key=customer.api_key)).code == "OK"


async def test_health_is_told(front: Front) -> None:
    """Load balancers before nginx ask it too."""
    async with calling(front.nginx) as caller:
        told = await caller.call("/grpc.health.v1.Health/Check")
    assert (told.code, told.content) == ("OK", b"\x08\x01")


async def test_worker_that_is_not_there_is_passed_over(front: Front, customer: Caller) -> None:
    """Nginx knows of a third socket, on which nobody answers."""
    sockets = (front.nginx.configuration.parent / "grpc-servers.conf").read_text()
    assert sockets.count("http-grpc-") == 3
    async with calling(front.nginx) as caller:
        codes = {(await caller.infer("wide", key=customer.api_key, x=ROWS)).code for _ in range(20)}
    assert codes == {"OK"}


async def test_gateway_that_is_away_is_unavailable(tmp_path: Path) -> None:
    """Nginx says so as gRPC does."""
    with running_nginx(tmp_path, tmp_path / "gateway.sock") as nginx:
        async with calling(nginx) as caller:
            told = await caller.infer("wide", key="any", x=ROWS)
    assert (told.code, told.metadata["tollgate-code"]) == ("UNAVAILABLE", "gateway_unreachable")
    assert told.metadata["retry-after"] == "1"


async def test_address_that_asks_too_often_is_told_when_to_come_back(tmp_path: Path) -> None:
    """Nginx counts calls as it counts requests."""
    limits = {"NGINX_ADDRESS_RATE": "1", "NGINX_ADDRESS_BURST": "1"}
    with running_nginx(tmp_path, tmp_path / "gateway.sock", **limits) as nginx:
        async with calling(nginx) as caller:
            told = [await caller.call("/grpc.health.v1.Health/Check") for _ in range(4)]
    refused = [each for each in told if each.code == "RESOURCE_EXHAUSTED"]
    assert refused
    assert refused[0].metadata["tollgate-code"] == "address_limited"


@pytest.mark.soak
@pytest.mark.parametrize("suite", ["trixie", "forky"])
async def test_newer_nginx_passes_grpc_on(tmp_path: Path, suite: str) -> None:
    """Debian's later ones."""
    with grpc_front(tmp_path, binary=newer_nginx(tmp_path / "newer", suite)) as front:
        assert "[warn]" not in front.nginx.check()
        key = populate(front.stack, tenants=1, keys_each=1)[0].api_key
        async with calling(front.nginx) as caller:
            told = await caller.infer("wide", key=key, x=ROWS)
        assert first_output(told).tolist() == ROWS.tolist()
