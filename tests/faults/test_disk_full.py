"""A full disk stops predictions before they run, stops nothing else, and heals by itself.

So does one that is read-only, as after a fault of the file system, and one that cannot sync.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.faults.disks import Disk, FailingDisk, FileSizeLimit, may_mount, mounted_volume
from tests.ledgers import delivered_ids
from tests.load import Caller
from tests.population import populate
from tests.repositories import write_model
from tests.serving import Answer, Server, free_port
from tests.unit.inference.onnx_models import lookup_model

MOST_UNTIL_FULL = 5000
AT_ONCE = 8
GOOD = {"instances": [1, 2]}
FAILING = {"instances": [99]}
"""The model refuses it with 400, but only a model that runs can know."""


READ_ONLY, NO_SYNC = "read only", "no sync"


def disks() -> list[str]:
    """List the kinds of full and failing disk that can be made here."""
    with tempfile.TemporaryDirectory() as folder:
        volumes = ["volume"] if may_mount(Path(folder)) else []
    return ["limit", *volumes, READ_ONLY, NO_SYNC]


@dataclass
class Filled:
    """A server, the disk under it, and the ids of every 200 that was seen."""

    server: Server
    disk: Disk
    caller: Caller
    served: list[str] = field(default_factory=list)
    is_full: bool = False

    def predict(self, body: object) -> Answer:
        """Ask, and remember what was served."""
        answer = self.server.predict(self.caller.api_key, body, model="lookup")
        if answer.status == 200:
            self.served.append(answer.headers["x-request-id"])
        return answer

    def read_keys(self) -> Answer:
        """Read the keys of the tenant."""
        path = f"{self._keys_path}?limit=200"
        return self.server.call("GET", path, key=self.server.demo["admin_key"])

    def make_key(self, name: str) -> Answer:
        """Ask for another key of the tenant."""
        body = {"name": name, "scopes": ["predict"]}
        admin_key = self.server.demo["admin_key"]
        return self.server.call("POST", self._keys_path, key=admin_key, body=body)

    @property
    def _keys_path(self) -> str:
        return f"/v1/tenants/{self.caller.tenant_id}/keys"

    def fill(self) -> Answer:
        """Fill the disk and return the first refusal; what room was left is used up first."""
        self.disk.fill(self.server)
        self.is_full = True
        for _ in range(MOST_UNTIL_FULL):
            answer = self.predict(GOOD)
            if answer.status != 200:
                return answer
        raise AssertionError("the disk was never full")

    def free(self) -> None:
        """Free the disk and wait until the server finds out by itself."""
        self.disk.free(self.server)
        self.is_full = False
        self.server._wait_until_ready()


@pytest.fixture(scope="module", params=disks())
def machine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Filled]:
    """Run a server on a disk that can be full."""
    repository = tmp_path_factory.mktemp("models")
    write_model(repository, "lookup", lookup_model())
    data_dir = tmp_path_factory.mktemp("data")
    with contextlib.ExitStack() as stack:
        disk: Disk = FileSizeLimit()
        if request.param == "volume":
            disk = stack.enter_context(mounted_volume(data_dir))
        elif request.param != "limit":
            kind = request.param.upper().replace(" ", "_")
            disk = FailingDisk(tmp_path_factory.mktemp("library"), kind)
        settings = {"TOLLGATE_MODEL_REPOSITORY": str(repository)} | disk.settings
        server = Server(data_dir, free_port(), settings=settings)
        stack.callback(server.stop)
        server.start()
        yield Filled(server, disk, populate(server, tenants=1, keys_each=1)[0])


@pytest.fixture
def filled(machine: Filled) -> Iterator[Filled]:
    """Hand the server out with room on its disk, and make room again afterwards."""
    assert machine.predict(GOOD).status == 200
    yield machine
    if machine.is_full:
        machine.free()


def test_prediction_is_refused_and_told_when_to_come_back(filled: Filled) -> None:
    """503 with Retry-After, though the model would have answered."""
    refused = filled.fill()
    assert (refused.status, refused.body["code"]) == (503, "journal_unavailable")
    assert int(refused.headers["retry-after"]) >= 1


def test_full_disk_refuses_before_the_model_runs(filled: Filled) -> None:
    """Values that the model refuses get 400 before and after, and 503 as long as it is full."""
    assert filled.predict(FAILING).status == 400
    filled.fill()
    assert {filled.predict(FAILING).status for _ in range(20)} == {503}
    filled.free()
    assert filled.predict(FAILING).status == 400


def test_server_lives_and_is_not_ready_while_the_disk_is_full(filled: Filled) -> None:
    """It is not restarted for nothing, gets no traffic, and answers what needs no disk."""
    filled.fill()
    ready = filled.server.call("GET", "/healthz/ready")
    assert filled.server.call("GET", "/healthz/live").status == 200
    assert (ready.status, ready.body["ready"]) == (503, False)
    assert filled.server.call("GET", "/v1/plans", key=filled.server.demo["admin_key"]).status == 200


def test_full_disk_makes_no_server_error_of_the_control_plane(filled: Filled) -> None:
    """What must be written is 503 and not half done; what was written before is all there."""
    filled.fill()
    answers = [filled.make_key("x" * 99) for _ in range(60)]
    assert {answer.status for answer in answers} <= {201, 503}
    filled.free()
    listed = filled.read_keys()
    made = {answer.body["key_id"] for answer in answers if answer.status == 201}
    assert {key["key_id"] for key in listed.body["data"]} == made | {filled.caller.key_id}


def test_connections_of_the_time_without_room_write_when_there_is_room(filled: Filled) -> None:
    """Many at once read while nothing can be written, and many at once write afterwards.

    SQLite opens a file of a read-only disk for reading, and says nothing.
    """
    names = [f"late {number}" for number in range(4 * AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE) as callers:
        filled.fill()
        assert {answer.status for answer in callers.map(lambda _: filled.read_keys(), names)} == {
            200
        }
        filled.free()
        assert {answer.status for answer in callers.map(filled.make_key, names)} == {201}


def test_what_was_answered_is_billed_and_nothing_else(filled: Filled) -> None:
    """After two fillings the ledger holds exactly the answers that were seen."""
    for _ in range(2):
        filled.fill()
        filled.free()
        assert filled.predict(GOOD).status == 200
    assert delivered_ids(filled.server) == sorted(filled.served)


def test_restart_after_a_full_disk_bills_the_same(filled: Filled) -> None:
    """A server that is killed while its disk is full bills what it answered, and nothing else."""
    filled.fill()
    filled.server.kill()
    filled.disk.free(filled.server)
    filled.is_full = False
    filled.server.start()
    assert filled.predict(GOOD).status == 200
    assert delivered_ids(filled.server) == sorted(filled.served)
