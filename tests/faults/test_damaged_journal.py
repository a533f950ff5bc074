"""A damaged page of the journal stops predictions before they run; the rest is saved and billed."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.ledgers import delivered_ids
from tests.load import Caller
from tests.population import populate
from tests.repositories import write_model
from tests.serving import ROOT, Server, free_port
from tests.unit.inference.onnx_models import lookup_model

GOOD = {"instances": [1, 2]}
FAILING = {"instances": [99]}
"""The model refuses it with 400, but only a model that runs can know."""

ANSWERS = 30
SELDOM = {"TOLLGATE_SHIP_INTERVAL_SECONDS": "60"}
"""The ledger is asked for what the journal holds when the bill is read, and hardly ever else."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Run a server that delivers when it is asked to."""
    write_model(tmp_path / "models", "lookup", lookup_model())
    (data_dir := tmp_path / "data").mkdir()
    settings = SELDOM | {"TOLLGATE_MODEL_REPOSITORY": str(tmp_path / "models")}
    server = Server(data_dir, free_port(), settings=settings)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def caller(server: Server) -> Caller:
    """Make somebody who may predict."""
    return populate(server, tenants=1, keys_each=1)[0]


def journal_of(server: Server) -> Path:
    """Name the journal of the only worker."""
    return server.data_dir / "journals" / "worker-0.db"


def answer_some(server: Server, caller: Caller) -> list[str]:
    """Have predictions answered, and return their request ids."""
    answers = [server.predict(caller.api_key, GOOD, model="lookup") for _ in range(ANSWERS)]
    assert {answer.status for answer in answers} == {200}
    return [answer.headers["x-request-id"] for answer in answers]


def damage(path: Path, request_id: str) -> None:
    """Turn a bit of the record of a request, where its page lies in the file."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    turn_a_bit(path, request_id, bytes.index)


def turn_a_bit(path: Path, request_id: str, find: Callable[[bytes, bytes], int]) -> None:
    """Turn a bit of a request id where it is found in a file."""
    at = find(path.read_bytes(), request_id.encode())
    with path.open("r+b", buffering=0) as file:
        file.seek(at)
        file.write(bytes([request_id.encode()[0] ^ 1]))


def salvage(server: Server) -> tuple[int, dict[str, object]]:
    """Do what the log says, and return the exit status and what the command tells."""
    command = [sys.executable, "-m", "gateway.cli", "usage", "salvage", str(journal_of(server))]
    environment = os.environ | {"TOLLGATE_DATA_DIR": str(server.data_dir)}
    done = subprocess.run(
        [*command, "--json"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout, done.stderr
    told: dict[str, object] = json.loads(done.stdout)
    return done.returncode, told


def test_damage_under_a_running_server_refuses_before_the_model_runs(
    server: Server, caller: Caller
) -> None:
    """503, not ready, and a log that says what to do; then all but the damaged record is billed."""
    served = answer_some(server, caller)
    damage(journal_of(server), served[10])
    server.call("GET", "/v1/usage", key=server.demo["billing_key"])
    refused = server.predict(caller.api_key, FAILING, model="lookup")
    assert (refused.status, refused.body["code"]) == (503, "journal_unavailable")
    assert server.call("GET", "/healthz/ready").status == 503
    advice = f"tollgate usage salvage {journal_of(server)}"
    server.wait_until(lambda: advice in server.log(), "the log says what to do")
    server.stop()
    status, told = salvage(server)
    assert status == 1
    assert (told["records"], len(told["missing"])) == (ANSWERS - 1, 1)  # type: ignore[arg-type]
    server.start()
    assert delivered_ids(server) == sorted(set(served) - {served[10]})


def test_damage_that_is_found_at_the_start_is_told_of(server: Server, caller: Caller) -> None:
    """A server that was killed does not start on what it cannot bill; after the command it does."""
    served = answer_some(server, caller)
    server.kill()
    damage(journal_of(server), served[0])
    with pytest.raises(AssertionError, match="the server ended"):
        server.start()
    assert f"tollgate usage salvage {journal_of(server)}" in server.log()
    assert salvage(server)[0] == 1
    server.start()
    assert delivered_ids(server) == sorted(served[1:])
    assert server.predict(caller.api_key, GOOD, model="lookup").status == 200


@pytest.mark.parametrize("lost", [0, 1], ids=["written again later", "nowhere else"])
def test_damage_in_what_was_written_last_is_told_of(
    server: Server, caller: Caller, lost: int
) -> None:
    """SQLite would end there, start well, and forget all that was answered after it."""
    find = bytes.rindex if lost else bytes.index
    served = answer_some(server, caller)
    server.kill()
    turn_a_bit(journal_of(server).with_name("worker-0.db-wal"), served[10], find)
    with pytest.raises(AssertionError, match="the server ended"):
        server.start()
    assert f"tollgate usage salvage {journal_of(server)}" in server.log()
    status, told = salvage(server)
    assert (status, told["records"]) == (lost, ANSWERS - lost)
    server.start()
    assert delivered_ids(server) == sorted(set(served) - set(served[10 : 10 + lost]))


def test_what_the_ledger_has_is_not_told_as_missing(server: Server, caller: Caller) -> None:
    """Records that were delivered and not yet dropped are nobody's loss."""
    served = answer_some(server, caller)
    copy = journal_of(server).with_name("copy")
    server.kill()
    copy.write_bytes(journal_of(server).read_bytes())
    log = journal_of(server).with_name("worker-0.db-wal")
    log_copy = log.read_bytes()
    server.start()
    assert delivered_ids(server) == sorted(served)
    server.stop()
    journal_of(server).write_bytes(copy.read_bytes())
    copy.unlink()
    log.write_bytes(log_copy)
    damage(journal_of(server), served[3])
    assert salvage(server)[0] == 0
    server.start()
    assert delivered_ids(server) == sorted(served)
