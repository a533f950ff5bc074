"""The records cannot be written for a while: predictions go on, and the bill has it all later."""

import contextlib
import sqlite3
from collections.abc import Iterator

from tests.load import Caller
from tests.population import populate
from tests.serving import Server

PREDICTIONS = 50


@contextlib.contextmanager
def locked(server: Server) -> Iterator[None]:
    """Hold the write lock of the database as another program would."""
    path = server.data_dir / "tollgate.db"
    connection = sqlite3.connect(path, isolation_level=None, timeout=60)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def predict(server: Server, caller: Caller) -> list[int]:
    """Ask for predictions one after the other."""
    example = server.demo["example"]
    return [server.predict(caller.api_key, example).status for _ in range(PREDICTIONS)]


def requests_billed(server: Server) -> int:
    """Count what is on the bill."""
    answer = server.call("GET", "/v1/usage", key=server.demo["billing_key"])
    assert answer.status == 200, answer.body
    return sum(item["requests"] for item in answer.body["data"])


def test_predictions_go_on_while_the_records_are_locked(own_server: Server) -> None:
    """The control plane says 503 and when to come back; the bill has everything afterwards."""
    caller = populate(own_server, tenants=1, keys_each=1)[0]
    path = f"/v1/tenants/{caller.tenant_id}/keys/{caller.key_id}"
    with locked(own_server):
        assert predict(own_server, caller) == [200] * PREDICTIONS
        refused = own_server.call("DELETE", path, key=own_server.demo["admin_key"])
        assert predict(own_server, caller) == [200] * PREDICTIONS
    assert refused.status == 503
    assert int(refused.headers["retry-after"]) >= 1
    assert requests_billed(own_server) == 2 * PREDICTIONS


def test_server_killed_while_the_records_are_locked_owes_nothing(own_server: Server) -> None:
    """What the ledger did not take waits in the journal for the next start."""
    caller = populate(own_server, tenants=1, keys_each=1)[0]
    with locked(own_server):
        assert predict(own_server, caller) == [200] * PREDICTIONS
        own_server.kill()
    own_server.start()
    assert requests_billed(own_server) == PREDICTIONS
