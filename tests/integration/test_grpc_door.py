"""The gRPC door: the same gates, limits, bill and request ids as over HTTP."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2

from auth.scopes import MODELS_WRITE, PREDICT, USAGE_READ
from auth.tenants import PLATFORM_TENANT_ID
from gateway.evidence.receipt_keys import read_key_set
from gateway.evidence.receipt_text import ReceiptVerifier, find_receipt
from inference.protocol import open_inference_pb2 as protocol
from tests.actors import TESTER
from tests.grpc_door import (
    SERVICE,
    first_output,
    infer_request,
)
from tests.opened_grpc import CAP, Door, open_door

ROWS = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
HEALTH = "/grpc.health.v1.Health/Check"


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    """Run a door."""
    async with open_door(tmp_path) as opened:
        yield opened


async def test_prediction_is_answered_and_billed_once(door: Door) -> None:
    """The answer is the model's, and the bill has its rows under its request id."""
    told = await door.caller.infer("linear", key=door.key, x=ROWS)
    assert first_output(told).tolist() == [[321.0], [654.0]]
    assert await door.billed() == [("grpc", 2, told.metadata["x-request-id"])]


async def test_answer_names_units_version_and_standing(door: Door) -> None:
    """Trailing metadata says what HTTP says in headers."""
    told = await door.caller.infer("scaled", key=door.key, x=np.ones(3, np.float32))
    assert told.metadata["tollgate-units"] == "3"
    assert told.metadata["tollgate-model-version"] == told.answer.model_version == "2"
    assert told.metadata["ratelimit-policy"] == '"month";q=1000;w=2592000'
    assert told.metadata["ratelimit"].startswith('"month";r=997;t=')


async def test_idempotency_key_answers_a_retry_as_the_first(door: Door) -> None:
    """The metadata `idempotency-key` does what the header does, compressed or not."""
    request = infer_request("scaled", x=np.ones(3, np.float32))
    packed = gzip.compress(request.SerializeToString())
    first, again, inflated = [
        await door.caller.call(
            "ModelInfer", message, key=door.key, metadata=[("idempotency-key", "once")]
        )
        for message in (request, request, packed)
    ]
    assert first.content == again.content == inflated.content
    assert first.metadata["tollgate-receipt"] == again.metadata["tollgate-receipt"]
    assert again.metadata["idempotency-replayed"] == "true"
    assert again.metadata["tollgate-original-request-id"] == first.metadata["x-request-id"]
    assert again.metadata["tollgate-units"] == "3"
    assert await door.billed() == [("grpc", 3, first.metadata["x-request-id"])]


async def test_idempotency_key_of_another_message_is_refused(door: Door) -> None:
    """The status is INVALID_ARGUMENT, and the code the same as over HTTP."""
    metadata = [("idempotency-key", "once")]
    for count, name in ((1, ""), (2, "idempotency_key_reused")):
        request = infer_request("scaled", x=np.ones(count, np.float32))
        told = await door.caller.call("ModelInfer", request, key=door.key, metadata=metadata)
        assert told.metadata.get("tollgate-code", "") == name
    assert told.code == "INVALID_ARGUMENT"
    malformed = [("idempotency-key", "two words")]
    told = await door.caller.call("ModelInfer", request, key=door.key, metadata=malformed)
    assert (told.code, told.metadata["tollgate-code"]) == (
        "INVALID_ARGUMENT",
        "idempotency_key_invalid",
    )


async def test_answer_carries_its_receipt(door: Door) -> None:
    """Trailing metadata holds what a header does, and the remaining units are told in it."""
    told = await door.caller.infer("scaled", key=door.key, x=np.ones(3, np.float32))
    parts = find_receipt(told.metadata["tollgate-receipt"])
    assert parts is not None
    document = {"keys": door.services.keyset.receipt_ring.historical_keys()}
    keys = read_key_set(json.dumps(document).encode(), "the server")
    facts = ReceiptVerifier(keys).verify(*parts)
    assert (facts.request_id, facts.units, facts.units_remaining) == (
        *(told.metadata["x-request-id"], 3, 997),
    )


async def test_version_can_be_chosen(door: Door) -> None:
    """`model_version` names the version that answers."""
    request = infer_request("scaled", x=np.ones(1, np.float32))
    request.model_version = "1"
    told = await door.caller.call("ModelInfer", request, key=door.key)
    assert (told.answer.model_version, first_output(told).tolist()) == ("1", [1.0])


async def test_refused_by_a_limit_with_the_time_to_wait(tmp_path: Path) -> None:
    """A rate that is used up is RESOURCE_EXHAUSTED, says when to come back, and costs nothing."""
    async with open_door(tmp_path, requests_per_second=0.01) as door:
        assert (await door.caller.infer("linear", key=door.key, x=ROWS)).code == "OK"
        told = await door.caller.infer("linear", key=door.key, x=ROWS)
        assert (told.code, told.metadata["tollgate-code"]) == ("RESOURCE_EXHAUSTED", "rate_limited")
        assert 90 <= int(told.metadata["retry-after"]) <= 100
        assert told.metadata["ratelimit"].startswith('"burst";r=0;t=')
        assert len(await door.billed()) == 1


async def test_unknown_model_is_not_found(door: Door) -> None:
    """A name of nothing, and one that is no name."""
    for name in ("nothing", "", "../linear", "a/b"):
        told = await door.caller.infer(name, key=door.key, x=ROWS)
        assert (told.code, told.metadata["tollgate-code"]) == ("NOT_FOUND", "model_not_found")


async def test_big_message_of_a_stranger_is_not_read(door: Door) -> None:
    """Without a credential the answer comes before the message: over the cap it is still 401's."""
    told = await door.caller.call("ModelInfer", b"\0" * (4 * CAP))
    assert told.code == "UNAUTHENTICATED"
    told = await door.caller.call("ModelInfer", b"\0" * (4 * CAP), key=door.key)
    assert told.code == "RESOURCE_EXHAUSTED"


async def test_message_over_the_cap_is_refused(door: Door) -> None:
    """The limit of messages is that of bodies."""
    told = await door.caller.infer("linear", key=door.key, x=np.ones((CAP, 3), np.float32))
    assert told.code == "RESOURCE_EXHAUSTED"


async def test_compressed_message_is_inflated(door: Door) -> None:
    """Both codings that clients offer; its size is recorded as it is without them."""
    request = infer_request("linear", x=np.ones((100, 3), np.float32))
    for coding in (grpc.Compression.Gzip, grpc.Compression.Deflate):
        told = await door.caller.call("ModelInfer", request, key=door.key, compression=coding)
        assert first_output(told).tolist() == [[111.0]] * 100
    await door.services.shipper.ship()
    async with door.services.engine.connect() as connection:
        sizes = await connection.exec_driver_sql("SELECT DISTINCT bytes_in FROM usage_records")
        assert sizes.scalars().all() == [request.ByteSize()]


async def test_compressed_message_is_inflated_no_further_than_the_cap(door: Door) -> None:
    """A bomb of 64 MB in 64 kB is refused as too large."""
    bomb = gzip.compress(b"\0" * 1024 * CAP)
    assert len(bomb) < CAP + 2000
    told = await door.caller.call("ModelInfer", bomb[:CAP], key=door.key)
    assert (told.code, told.metadata["tollgate-code"]) == ("RESOURCE_EXHAUSTED", "body_too_large")


async def test_garbage_is_an_invalid_argument(door: Door) -> None:
    """Bytes that are no message, and no message at all."""
    for garbage in (b"\xff\xff\xff", gzip.compress(b"\xff")[:-3], b"\x78\x9c\x00"):
        told = await door.caller.call("ModelInfer", garbage, key=door.key)
        assert (told.code, told.metadata["tollgate-code"]) == ("INVALID_ARGUMENT", "bad_request")


async def test_deadline_of_the_caller_is_kept(door: Door) -> None:
    """A call whose time is over before it begins is not billed."""
    told = await door.caller.call(
        "ModelInfer", infer_request("linear", x=ROWS), key=door.key, timeout=0.0
    )
    assert told.code == "DEADLINE_EXCEEDED"
    assert await door.billed() == []


async def test_message_that_never_comes_ends_at_the_deadline(tmp_path: Path) -> None:
    """Who opens a call and sends nothing is not waited for longer than a slow body."""

    async def nothing() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    async with open_door(tmp_path, request_timeout_seconds=0.05) as door:
        metadata = (("authorization", f"Bearer {door.key}"),)
        call = door.caller.channel.stream_unary(f"/{SERVICE}/ModelInfer", None, None)
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await call(nothing(), metadata=metadata)
        assert refusal.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_request_ids_of_strangers_are_not_believed(door: Door) -> None:
    """Who is no proxy names no request."""
    told = await door.caller.call(
        "ModelInfer",
        infer_request("linear", x=ROWS),
        key=door.key,
        metadata=[("x-request-id", "0" * 32)],
    )
    assert told.metadata["x-request-id"] != "0" * 32


async def test_guesser_is_limited(tmp_path: Path) -> None:
    """Refused credentials count on this door as on the others; a good key is served."""
    async with open_door(tmp_path, failed_attempts_per_minute=3) as door:
        codes = [(await door.caller.infer("linear", key="wrong", x=ROWS)).code for _ in range(5)]
        assert codes == ["UNAUTHENTICATED"] * 3 + ["RESOURCE_EXHAUSTED"] * 2
        assert (await door.caller.infer("linear", key=door.key, x=ROWS)).code == "OK"


async def test_two_credentials_are_refused(door: Door) -> None:
    """Nobody can say who calls."""
    told = await door.caller.call(
        "ModelInfer", b"", key=door.key, metadata=[("x-api-key", door.key)]
    )
    assert (told.code, told.metadata["tollgate-code"]) == (
        "INVALID_ARGUMENT",
        "credential_ambiguous",
    )


async def test_model_is_described(door: Door) -> None:
    """Metadata and configuration, as load generators read them."""
    asked = protocol.ModelMetadataRequest(name="linear")
    told = await door.caller.call("ModelMetadata", asked, key=door.key)
    described = protocol.ModelMetadataResponse.FromString(told.content)
    assert (described.name, list(described.versions)) == ("linear", ["1"])
    assert [(t.name, t.datatype, list(t.shape)) for t in described.inputs] == [
        ("x", "FP32", [-1, 3])
    ]
    told = await door.caller.call("ModelConfig", asked, key=door.key)
    config = protocol.ModelConfigResponse.FromString(told.content).config
    assert (config.max_batch_size, list(config.input[0].dims)) == (64, [3])


async def test_index_lists_what_is_granted(door: Door) -> None:
    """Another tenant's models are not in it."""
    tenant = await door.services.store.create_tenant(
        actor=TESTER, name="narrow", plan_id=None, models=["scaled"]
    )
    issued = await door.services.store.create_key(
        tenant.tenant_id, actor=TESTER, name="k", scopes=[PREDICT]
    )
    told = await door.caller.call("RepositoryIndex", key=issued.api_key)
    index = protocol.RepositoryIndexResponse.FromString(told.content)
    assert [(model.name, model.version) for model in index.models] == [
        ("scaled", "1"),
        ("scaled", "2"),
    ]
    told = await door.caller.call(
        "ModelReady", protocol.ModelReadyRequest(name="linear"), key=issued.api_key
    )
    assert told.code == "NOT_FOUND"


async def test_scope_is_asked_for_before_the_message(door: Door) -> None:
    """Who may not predict sends no message."""
    key = await door.key_with(USAGE_READ)
    told = await door.caller.call("ModelInfer", b"\0" * (4 * CAP), key=key)
    assert (told.code, told.metadata["tollgate-code"]) == ("PERMISSION_DENIED", "scope_missing")


async def test_methods_that_are_not_served_are_unimplemented(door: Door) -> None:
    """Stock clients know more methods than there are here."""
    for method in ("TraceSetting", "SystemSharedMemoryRegister", "ModelStreamInfer"):
        assert (await door.caller.call(method, key=door.key)).code == "UNIMPLEMENTED"


async def test_model_is_unloaded_and_loaded(door: Door) -> None:
    """By an admin of the platform, who brings no configuration along."""
    issued = await door.services.store.create_key(
        PLATFORM_TENANT_ID, actor=TESTER, name="admin", scopes=[MODELS_WRITE]
    )
    unload = protocol.RepositoryModelUnloadRequest(model_name="linear")
    load = protocol.RepositoryModelLoadRequest(model_name="linear")
    told = await door.caller.call("RepositoryModelUnload", unload, key=issued.api_key)
    assert told.code == "OK"
    load.parameters["config"].string_param = "{}"
    told = await door.caller.call("RepositoryModelLoad", load, key=issued.api_key)
    assert told.code == "INVALID_ARGUMENT"
    load.parameters.clear()
    told = await door.caller.call("RepositoryModelLoad", load, key=issued.api_key)
    assert told.code == "OK"
    ready = protocol.ModelReadyRequest(name="linear")
    told = await door.caller.call("ModelReady", ready, key=door.key)
    assert protocol.ModelReadyResponse.FromString(told.content).ready


async def test_health_is_told_to_everybody(door: Door) -> None:
    """The service by name, the whole, and one that there is not."""
    statuses = []
    for name in ("", SERVICE):
        asked = health_pb2.HealthCheckRequest(service=name)
        told = await door.caller.call(HEALTH, asked)
        statuses.append(health_pb2.HealthCheckResponse.FromString(told.content).status)
    assert statuses == [health_pb2.HealthCheckResponse.SERVING] * 2
    asked = health_pb2.HealthCheckRequest(service="nothing")
    assert (await door.caller.call(HEALTH, asked)).code == "NOT_FOUND"


async def test_caller_who_leaves_is_not_billed(door: Door) -> None:
    """A call that is cancelled before it is read ends without a row."""
    metadata = (("authorization", f"Bearer {door.key}"),)
    call = door.caller.channel.unary_unary(f"/{SERVICE}/ModelInfer", None, None)(
        infer_request("linear", x=ROWS).SerializeToString(), metadata=metadata
    )
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (await door.caller.infer("linear", key=door.key, x=ROWS)).code == "OK"
    assert len(await door.billed()) == 1
