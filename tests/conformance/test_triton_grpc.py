"""`tritonclient.grpc` and `tritonclient.grpc.aio`, unchanged, as their users call them."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.fronted import NO_ADDRESS_LIMITS, running_front
from tests.population import make_caller, make_plan, make_tenant
from tests.serving import ROOT, Server, free_port
from tests.typed_models import ONNX_TYPES, write_typed_models

PYTHON = ROOT / ".venv" / "clients" / "bin" / "python"
PROGRAM = ROOT / "tests" / "clients" / "triton_grpc.py"
Results = dict[str, Any]


def ask_triton_grpc(order: dict[str, Any]) -> Results:
    """Run the stock client to its end."""
    done = subprocess.run(
        [PYTHON, PROGRAM],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results: Results = json.loads(done.stdout)
    return results


def order_to_server(folder: Path, repository: Path, stack: ExitStack) -> dict[str, Any]:
    """Serve the models without TLS, and tell where."""
    port = str(free_port())
    settings = {"TOLLGATE_MODEL_REPOSITORY": str(repository), "TOLLGATE_GRPC_PORT": port}
    server = Server(folder, free_port(), settings=settings)
    server.start()
    stack.callback(server.stop)
    return {"url": f"127.0.0.1:{port}", "key": server.demo["api_key"], "ca": ""}


def order_to_nginx(folder: Path, repository: Path, stack: ExitStack) -> dict[str, Any]:
    """Serve the models through Nginx, over TLS, and tell where."""
    settings = {"model_repository": str(repository), "grpc_port": "1"}
    front = stack.enter_context(running_front(folder, settings=settings, nginx=NO_ADDRESS_LIMITS))
    tenant_id = make_tenant(front.stack, make_plan(front.stack))
    return {
        "url": front.nginx.url.removeprefix("https://"),
        "key": make_caller(front.stack, tenant_id, scopes=["predict", "models:read"]).api_key,
        "ca": str(front.nginx.certificates.authority),
    }


ORDERS = {"plain": order_to_server, "TLS through Nginx": order_to_nginx}


@pytest.fixture(scope="module", params=ORDERS)
def order(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """Serve a model of each datatype."""
    repository = tmp_path_factory.mktemp("models")
    write_typed_models(repository)
    with ExitStack() as stack:
        yield ORDERS[request.param](tmp_path_factory.mktemp("served"), repository, stack)


@pytest.fixture(scope="module", params=["grpc", "grpc.aio"])
def results(request: pytest.FixtureRequest, order: dict[str, Any]) -> Results:
    """Let one of the two clients go through everything."""
    return ask_triton_grpc(order | {"asynchronous": request.param == "grpc.aio"})


def test_server_says_how_it_is(results: Results) -> None:
    """Without a credential, but for its name."""
    assert results["server"] == {"live": True, "ready": True, "name": "tollgate"}


def test_models_are_described(results: Results) -> None:
    """Readiness, metadata, configuration and the index."""
    found = results["models"]
    assert found["ready"]
    assert found["metadata"]["inputs"] == [{"name": "x", "datatype": "FP32", "shape": ["-1"]}]
    assert (found["config"]["name"], found["config"]["max_batch_size"]) == ("fp32", 64)
    assert found["config"]["input"] == [{"name": "x", "data_type": "TYPE_FP32"}]
    assert found["index"] == sorted([*ONNX_TYPES, "scores", "wide"])


def test_every_datatype_comes_back(results: Results) -> None:
    """Both ends of each, bit by bit."""
    assert len(results["datatypes"]) == 12
    assert all(results["datatypes"].values()), results["datatypes"]


def test_text_comes_back(results: Results) -> None:
    """BYTES, with an empty element and one with a zero."""
    assert results["text"] == ["é", "", "a\0b"]


def test_brain_floats_come_back(results: Results) -> None:
    """BF16."""
    assert results["brain_floats"] == [0.5, -2.0]


def test_compressed_requests_are_answered(results: Results) -> None:
    """Both codings of gRPC."""
    assert results["compression"] == {"gzip": True, "deflate": True}


def test_tensor_as_large_as_an_image_comes_back(results: Results) -> None:
    """600 kB each way."""
    assert results["image"]


def test_answer_names_model_version_and_request(results: Results) -> None:
    """As the caller did."""
    assert results["naming"] == ["fp32", "1", "mine"]


def test_classes_are_named_instead_of_numbers(results: Results) -> None:
    """Triton's classification extension."""
    assert results["classes"] == ["2.0:1", "1.0:2"]


def test_statistics_count_what_was_answered(results: Results) -> None:
    """Both clients asked for classes once, one after the other."""
    name, version, count = results["statistics"]
    assert (name, version) == ("scores", "1")
    assert int(count) in (1, 2)


def test_refusals_have_their_statuses(results: Results) -> None:
    """Each with the code that clients of gRPC know, and a sentence."""
    assert {what: status for what, (status, _) in results["errors"].items()} == {
        "no credential": "StatusCode.UNAUTHENTICATED",
        "bad credential": "StatusCode.UNAUTHENTICATED",
        "unknown model": "StatusCode.NOT_FOUND",
        "unknown version": "StatusCode.NOT_FOUND",
        "another datatype": "StatusCode.INVALID_ARGUMENT",
        "another shape": "StatusCode.INVALID_ARGUMENT",
        "unknown output": "StatusCode.INVALID_ARGUMENT",
        "no time": "StatusCode.DEADLINE_EXCEEDED",
    }
    assert all(sentence for _, sentence in results["errors"].values())


def test_what_is_not_served_says_so(results: Results) -> None:
    """Shared memory, traces and log settings are not for customers."""
    assert set(results["unserved"].values()) == {"StatusCode.UNIMPLEMENTED"}
    assert len(results["unserved"]) == 3
