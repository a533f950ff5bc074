"""Schemathesis keeps asking a real server what its OpenAPI document promises, with all its checks.

Two tenants share the run, so that the check of object-level authorization replays what one of them
read in the name of the other.
"""

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from auth.scopes import TENANT_SCOPES
from tests.load import Caller
from tests.population import make_caller, make_plan, make_tenant
from tests.schemathesis_hooks import KEPT_VARIABLE
from tests.serving import ROOT, Server, free_port

QUICK_EXAMPLES = 2
SOAK_EXAMPLES = 40
_PLAN = {"requests_per_second": None, "burst": None}


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run a server that these tests may fill with whatever they like."""
    running = Server(tmp_path_factory.mktemp("fuzzed"), free_port())
    running.start()
    yield running
    running.stop()


def neighbour(server: Server, name: str) -> Caller:
    """Make a tenant with a key that may do all that tenants may."""
    tenant_id = make_tenant(server, make_plan(server, **_PLAN), name=name)
    return make_caller(server, tenant_id, scopes=sorted(TENANT_SCOPES))


def write_configuration(folder: Path, own: Caller, other: Caller) -> Path:
    """Let two tenants ask about the first one's resources.

    Generated credentials beside the callers' own would make two of them, which is refused unread.
    """
    entries = "".join(
        f"- name: {name}\n  fixedHeaders:\n  - name: Authorization\n    value: Bearer {key}\n"
        for name, key in (("own", own.api_key), ("other", other.api_key))
    )
    (folder / "callers.yaml").write_text(f"auth:\n{entries}")
    path = folder / "schemathesis.toml"
    path.write_text(
        "[generation]\nwith-security-parameters = false\n"
        f'[parameters]\n"path.tenant_id" = "{own.tenant_id}"\n'
        f'[auth.wfc]\npath = "{folder / "callers.yaml"}"\npeers = ["own", "other"]\n'
    )
    return path


def write_client_configuration(folder: Path, credentials: str) -> Path:
    """Let a client ask the authorization server, by HTTP Basic."""
    path = folder / "client.toml"
    encoded = base64.b64encode(credentials.encode()).decode()
    path.write_text(
        "[generation]\nwith-security-parameters = false\n"
        f'[headers]\nAuthorization = "Basic {encoded}"\n'
    )
    return path


def fuzz(
    server: Server,
    configuration: Path,
    *options: str,
    examples: int,
    callers: tuple[Caller, ...] = (),
) -> None:
    """Run schemathesis with every check, from the same numbers each time."""
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(configuration)),
        *("run", f"{server.url}/openapi.json", "--checks", "all", "--no-color"),
        *("--max-examples", str(examples), "--generation-deterministic"),
        *("--continue-on-failure", "--suppress-health-check", "all", *options),
    ]
    environment = os.environ | {
        "SCHEMATHESIS_HOOKS": "tests.schemathesis_hooks",
        KEPT_VARIABLE: ",".join(caller.key_id for caller in callers),
        "PYTHONPATH": str(ROOT),
    }
    folder = configuration.parent  # schemathesis leaves what it remembers where it runs
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode()


def fuzz_everything(server: Server, folder: Path, *, examples: int) -> None:
    """Ask for every operation of the document."""
    own, other = neighbour(server, "own"), neighbour(server, "other")
    is_oauth = ("path-regex", "^/oauth2/")
    tenants = write_configuration(folder, own, other)
    options = (f"--exclude-{is_oauth[0]}", is_oauth[1])
    fuzz(server, tenants, *options, examples=examples, callers=(own, other))
    for caller in (own, other):
        assert server.predict(caller.api_key, server.demo["example"]).status == 200
    body = {"name": "c", "scopes": ["predict", "usage:read"]}
    path = f"/v1/tenants/{own.tenant_id}/clients"
    made = server.call("POST", path, key=server.demo["admin_key"], body=body).body
    client = write_client_configuration(folder, f"{made['client_id']}:{made['client_secret']}")
    fuzz(server, client, f"--include-{is_oauth[0]}", is_oauth[1], examples=examples)
    assert server.log().count("internal_error") == 0


def test_server_keeps_every_promise_of_its_document(fuzzed: Server, tmp_path: Path) -> None:
    """A few requests for each operation and each of its parameters."""
    fuzz_everything(fuzzed, tmp_path, examples=QUICK_EXAMPLES)


@pytest.mark.soak
def test_server_keeps_every_promise_for_long(fuzzed: Server, tmp_path: Path) -> None:
    """Many of them."""
    fuzz_everything(fuzzed, tmp_path, examples=SOAK_EXAMPLES)
