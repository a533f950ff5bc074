"""Versions that are uploaded, tried over gRPC and promoted on a running server."""

import asyncio
import contextlib
import http.client
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from auth.tenants import PLATFORM_TENANT_ID
from tests.grpc_door import first_output, grpc_caller, infer_request
from tests.population import make_caller
from tests.repositories import scaled_model, write_model
from tests.serving import Answer, Server, answer_of, free_port
from tests.unit.gateway.models.archives import archive_of
from tests.unit.gateway.models.workers import MODEL, adding_model, write_adders

TRIED = "scaled"
CALLS = 8
PIECE_BYTES = 100
"""So little that an archive goes in many chunks."""


@dataclass(frozen=True)
class Served:
    """A server, where it takes gRPC, and a key that may change models and nothing else."""

    server: Server
    grpc_target: str
    writer_key: str

    def change(self, method: str, path: str, body: object = None) -> Answer:
        """Change something of a model."""
        return self.server.call(method, f"/v1/models/{path}", key=self.writer_key, body=body)

    def upload(self, version: int) -> Answer:
        """Push a version as an archive whose length is not told beforehand."""
        archive = archive_of({"model.onnx": adding_model(version)})
        pieces = (archive[at : at + PIECE_BYTES] for at in range(0, len(archive), PIECE_BYTES))
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(
                "PUT",
                f"/v1/models/{MODEL}/versions/{version}",
                pieces,
                {
                    "Authorization": f"Bearer {self.writer_key}",
                    "Content-Type": "application/x-tar",
                    "Transfer-Encoding": "chunked",
                },
                encode_chunked=True,
            )
            with connection.getresponse() as response:
                return answer_of(response.status, dict(response.getheaders()), response.read())

    def answered(self, way: str = "") -> tuple[str, list[float]]:
        """Ask for 5 plus something; return which version answered what."""
        key = self.server.demo["api_key"]
        told = self.server.predict(key, {"instances": [5.0]}, model=MODEL + way)
        assert told.status == 200, told.body
        return told.headers["tollgate-model-version"], told.body["predictions"]

    async def answered_over_grpc(self) -> Counter[tuple[str, float]]:
        """Ask for the scaled 5 some times, and count which version answered what."""
        request = infer_request(TRIED, x=np.array([5.0], np.float32))
        found: Counter[tuple[str, float]] = Counter()
        async with grpc_caller(self.grpc_target) as caller:
            for _ in range(CALLS):
                told = await caller.call("ModelInfer", request, key=self.server.demo["api_key"])
                assert told.code == "OK", told.details
                found[told.answer.model_version, float(first_output(told)[0])] += 1
        return found


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve a model that adds its version's number, and one that multiplies by it, of two."""
    folder = tmp_path_factory.mktemp("pushed")
    write_adders(folder / "models", 1)
    for version in (1, 2):
        write_model(folder / "models", TRIED, scaled_model(version), version=version)
    port = free_port()
    settings = {
        "TOLLGATE_MODEL_REPOSITORY": str(folder / "models"),
        "TOLLGATE_GRPC_PORT": str(port),
    }
    server = Server(folder / "var", free_port(), settings)
    server.start()
    writer = make_caller(server, PLATFORM_TENANT_ID, scopes=["models:write"])
    yield Served(server, f"127.0.0.1:{port}", writer.api_key)
    server.stop()


def test_uploaded_version_answers_where_it_is_named_and_promoted(served: Served) -> None:
    """Under its number when the upload is answered, and unnamed when the promotion is."""
    pushed = served.upload(2)
    assert (pushed.status, pushed.body["state"], pushed.body["served"]) == (201, "serving", True)
    assert served.answered("/versions/2") == ("2", [7.0])
    assert served.answered() == ("1", [6.0])
    assert served.change("POST", f"{MODEL}/promote", {"version": "2"}).status == 200
    assert served.answered() == ("2", [7.0])


def test_trial_counts_calls_over_grpc(served: Served) -> None:
    """The challenger answers all of them, and the comparison has each once."""
    wish = {"challenger": "1", "weight": 1.0}
    assert served.change("PUT", f"{TRIED}/trial", wish).status == 200
    assert asyncio.run(served.answered_over_grpc()) == {("1", 5.0): CALLS}
    versions = served.change("GET", f"{TRIED}/comparison").body["versions"]
    counted = {item["version"]: item["served"]["requests"] for item in versions}
    assert counted == {"1": CALLS, "2": 0}
