"""A server over models that are made for the specifications' rows."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conformance.triton_servers import SERVED, Orders
from tests.load import Caller
from tests.population import make_caller, make_plan, make_tenant
from tests.repositories import (
    identity_model,
    image_model,
    parts_model,
    reciprocal_model,
    scaled_model,
    sum_model,
    write_manifest,
    write_model,
)
from tests.serving import Server, free_port
from tests.typed_models import write_typed_models
from tests.unit.inference.onnx_models import greeting_model, linear_model

NAMED = """\
description = "Doubles a number."
unit_weight = 3

[[features]]
name = "amount"
input = "x"
type = "number"
minimum = 0

[example]
amount = 21
"""


def write_repository(repository: Path) -> None:
    """Write one model for each form that a request or an answer can have."""
    write_model(repository, "linear", linear_model())
    write_model(repository, "sum", sum_model())
    write_model(repository, "parts", parts_model())
    write_model(repository, "greeting", greeting_model())
    write_model(repository, "reciprocal", reciprocal_model())
    write_model(repository, "identity", identity_model())
    write_model(repository, "image", image_model())
    write_model(repository, "broken", b"no graph")
    for version in (1, 2):
        write_model(repository, "scaled", scaled_model(version), version=version)
    folder = write_model(repository, "named", scaled_model(2))
    write_manifest(folder, NAMED)


@pytest.fixture(scope="package", params=SERVED)
def triton_orders(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Orders]:
    """Serve a model of each datatype to the clients of HTTP and gRPC."""
    repository = tmp_path_factory.mktemp("typed")
    write_typed_models(repository)
    with ExitStack() as stack:
        yield SERVED[request.param](tmp_path_factory.mktemp("triton"), repository, stack)


@pytest.fixture(scope="package")
def v1_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve the models of the specifications' rows."""
    repository = tmp_path_factory.mktemp("models")
    write_repository(repository)
    settings = {"TOLLGATE_MODEL_REPOSITORY": str(repository), "TOLLGATE_MAX_BODY_BYTES": "65536"}
    running = Server(tmp_path_factory.mktemp("v1"), free_port(), settings=settings)
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="package")
def v1_caller(v1_server: Server) -> Caller:
    """Make a customer who may predict and read models."""
    tenant_id = make_tenant(v1_server, make_plan(v1_server))
    return make_caller(v1_server, tenant_id, scopes=["predict", "models:read", "usage:read"])
