"""A key stops when its end was answered, whoever ended it."""

import json
import os
import subprocess
import sys

import pytest

from tests.load import Caller
from tests.population import make_caller, make_plan, make_tenant
from tests.serving import ROOT, Server


@pytest.fixture
def caller(server: Server) -> Caller:
    """Make a tenant of its own with one key."""
    return make_caller(server, make_tenant(server, make_plan(server)))


def status(server: Server, api_key: str) -> int:
    """Try a key."""
    return server.predict(api_key, server.demo["example"]).status


def tollgate(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line on the data of a running server."""
    return subprocess.run(
        [sys.executable, "-m", "gateway.cli", *arguments],
        cwd=ROOT,
        env=os.environ | {"TOLLGATE_DATA_DIR": str(server.data_dir)},
        capture_output=True,
        text=True,
        check=False,
    )


def path_of(caller: Caller) -> str:
    """Name the key as a resource."""
    return f"/v1/tenants/{caller.tenant_id}/keys/{caller.key_id}"


def test_revoked_key_fails_from_the_next_request_on(server: Server, caller: Caller) -> None:
    """No grace at all."""
    assert status(server, caller.api_key) == 200
    admin_key = server.demo["admin_key"]
    assert server.call("DELETE", path_of(caller), key=admin_key).status == 204
    assert status(server, caller.api_key) == 401


def test_key_revoked_on_the_command_line_fails_at_once(server: Server, caller: Caller) -> None:
    """Another process changed the records; the running server obeys on the next request."""
    assert status(server, caller.api_key) == 200
    done = tollgate(server, "keys", "revoke", caller.tenant_id, caller.key_id)
    assert done.returncode == 0, done.stderr
    assert status(server, caller.api_key) == 401


def test_key_made_on_the_command_line_works_at_once(server: Server, caller: Caller) -> None:
    """The same in the other direction."""
    done = tollgate(
        server, "keys", "create", caller.tenant_id, "--name", "cli", "--scopes", "predict", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert status(server, json.loads(done.stdout)["api_key"]) == 200


def test_rotated_key_works_beside_its_old_secret_during_the_overlap(
    server: Server, caller: Caller
) -> None:
    """Customers replace a secret without an outage."""
    answer = server.call(
        "POST",
        path_of(caller) + "/rotate",
        key=server.demo["admin_key"],
        body={"overlap_seconds": 3600},
    )
    assert (answer.status, answer.body["key_id"]) == (201, caller.key_id)
    assert status(server, caller.api_key) == 200
    assert status(server, answer.body["api_key"]) == 200


def test_rotation_without_overlap_ends_the_old_secret_at_once(
    server: Server, caller: Caller
) -> None:
    """A leaked secret must not live on."""
    answer = server.call(
        "POST",
        path_of(caller) + "/rotate",
        key=server.demo["admin_key"],
        body={"overlap_seconds": 0},
    )
    assert status(server, caller.api_key) == 401
    assert status(server, answer.body["api_key"]) == 200


def test_suspended_tenant_is_refused_at_once_and_returns(server: Server, caller: Caller) -> None:
    """Suspension is a switch, not a revocation."""
    path = f"/v1/tenants/{caller.tenant_id}"
    for state, expected in (("suspended", 403), ("active", 200)):
        body = {"status": state}
        answer = server.call("PATCH", path, key=server.demo["admin_key"], body=body)
        assert answer.status == 200
        assert status(server, caller.api_key) == expected
