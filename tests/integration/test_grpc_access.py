"""Every method of gRPC answers every kind of principal by one table."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from gateway.dataplane.grpc_status import status_code
from gateway.settings import Settings
from inference.protocol import open_inference_pb2 as protocol
from tests.grpc_door import SERVICE, GrpcCaller, Told, grpc_caller, infer_request, running_grpc
from tests.integration.access_principals import Credentials, open_world
from tests.integration.access_table import GRPC_TABLE, cells
from tests.repositories import scaled_model, write_model
from tests.serving import free_port
from tests.verdicts import share_verdicts

MODEL: Final = "shared"
MESSAGES: Final[dict[str, Any]] = {
    "ModelReady": protocol.ModelReadyRequest(name=MODEL),
    "ModelMetadata": protocol.ModelMetadataRequest(name=MODEL),
    "ModelConfig": protocol.ModelConfigRequest(name=MODEL),
    "RepositoryModelLoad": protocol.RepositoryModelLoadRequest(model_name=MODEL),
    "RepositoryModelUnload": protocol.RepositoryModelUnloadRequest(model_name=MODEL),
    "ModelInfer": infer_request(MODEL, x=np.ones(1, np.float32)),
}
"""What is asked; the empty message elsewhere."""

_CODES: Final = {401: "unauthenticated"}
_FORBIDDEN: Final = {"suspended": "tenant_suspended", "elsewhere": "network_not_allowed"}


@dataclass(frozen=True)
class Gate:
    """A connection to the running server, and the credentials of everybody."""

    caller: GrpcCaller
    credentials: Credentials

    async def ask(self, method: str, credential: str) -> Told:
        """Call a method."""
        return await self.caller.call(method, MESSAGES.get(method, b""), key=credential)


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Gate]:
    """Run the app and its gRPC server with a model."""
    write_model(tmp_path / "models", MODEL, scaled_model(1))
    settings = Settings(
        data_dir=share_verdicts(tmp_path / "var"),
        model_repository=tmp_path / "models",
        failed_attempts_per_minute=1_000_000,
        password_memory_kibibytes=12_288,
        grpc_port=free_port(),
    )
    async with (
        open_world(settings) as (_, world, credentials),
        running_grpc(world.services),
        grpc_caller(f"127.0.0.1:{settings.grpc_port}") as caller,
    ):
        yield Gate(caller, credentials)


def _fault(told: Told, *, column: str, expected: int) -> str | None:
    """Say how an answer differs from its cell; None where it does not."""
    if expected == 200:
        return None if told.code == "OK" else f"{told.code}: {told.details}"
    code = _CODES.get(expected) or _FORBIDDEN.get(column, "scope_missing")
    found = (told.code, told.metadata.get("tollgate-code"))
    wanted = (status_code(expected).name, code)
    return None if found == wanted else f"{found} instead of {wanted}"


async def test_every_cell_of_grpc_is_answered_as_the_table_says(gate: Gate) -> None:
    """Each method for each principal: let in, or refused with the one right reason."""
    faults = []
    for method, row in cells(GRPC_TABLE).items():
        for column, credentials in gate.credentials.items():
            for name, credential in credentials.items():
                told = await gate.ask(method, credential)
                fault = _fault(told, column=column, expected=row[column])
                faults += [f"{method} by {name}: {fault}"] if fault else []
    assert faults == []


async def test_strangers_are_answered_alike_over_grpc(gate: Gate) -> None:
    """Whatever is wrong with a credential, every method says the same but for the request id."""
    for method, row in cells(GRPC_TABLE).items():
        if row["stranger"] != 401:
            continue
        answers = set()
        for credential in gate.credentials["stranger"].values():
            told = await gate.ask(method, credential)
            named = {n: v for n, v in told.metadata.items() if n != "x-request-id"}
            answers.add((told.code, told.details, tuple(sorted(named.items()))))
        assert len(answers) == 1, method


def test_every_method_of_the_protocol_has_a_row() -> None:
    """Whoever serves another method says who may call it."""
    served = {method.name for method in protocol.DESCRIPTOR.services_by_name[_NAME].methods}
    assert served == cells(GRPC_TABLE).keys()


async def test_methods_without_a_row_are_not_served(gate: Gate) -> None:
    """Not to anybody."""
    for method in NOT_SERVED:
        key = gate.credentials["platform"]["platform admin key"]
        assert (await gate.ask(method, key)).code == "UNIMPLEMENTED", method


_NAME: Final = SERVICE.rpartition(".")[2]
NOT_SERVED: Final = frozenset({"ModelStreamInfer", "TraceSetting", "SystemSharedMemoryRegister"})
