"""Target (c): Tollgate with every gate on, and the thousand keys of fifty tenants that ask it.

The keys, and as many OAuth2 clients, are made as an admin makes them, over the HTTP API of a
server started by ``tollgate demo``. Limits are checked for every request but are too generous to
refuse one.
"""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import httpx

from benchmarks.cases import MODELS
from benchmarks.processes import ServerCommand, ServerFailed, running

TENANTS = 50
KEYS_PER_TENANT = 20
_DEMO_SECONDS = 30.0
_POLL_SECONDS = 0.05
_PLAN = {
    "name": "benchmark",
    "requests_per_second": 100_000,
    "burst": 100_000,
    "units_per_month": 1_000_000_000_000,
    "max_in_flight": 10_000,
}


def tollgate_command(
    folder: Path, repository: Path, *, subcommand: str = "serve", **settings: str
) -> ServerCommand:
    """Start the product with its defaults but for `settings`, on data of its own."""
    own = {
        "port": "{port}",
        "data_dir": str(folder / "data"),
        "model_repository": str(repository),
    }
    return ServerCommand(
        (str(Path(sys.executable).with_name("tollgate")), subcommand),
        {f"TOLLGATE_{name.upper()}": value for name, value in (own | settings).items()},
    )


class Callers(NamedTuple):
    """Files with one caller per line: keys, and clients as `ID:SECRET`."""

    keys: Path
    clients: Path


def create_callers(folder: Path) -> Callers:
    """Create plan, tenants, keys and clients; answer with the files that list them.

    Raises:
        ServerFailed: the product did not start, or refused a change.
    """
    with running(
        tollgate_command(folder, MODELS, subcommand="demo"), folder / "demo.log"
    ) as server:
        headers = {"Authorization": f"Bearer {_read_admin_key(folder / 'data/demo.json')}"}
        with httpx.Client(base_url=server.url, headers=headers, timeout=30) as admin:
            tenants = _create_tenants(admin)
            keys = _create_keys(admin, tenants)
            clients = _create_clients(admin, tenants)
    return Callers(_write(folder / "keys", keys), _write(folder / "clients", clients))


def _write(path: Path, lines: list[str]) -> Path:
    path.touch(mode=0o600)
    path.write_text("\n".join(lines) + "\n")
    return path


def _read_admin_key(path: Path) -> str:
    """Wait for the demo's document, which is written once the server answers."""
    give_up = time.monotonic() + _DEMO_SECONDS
    while time.monotonic() < give_up:
        if path.exists() and (text := path.read_text()):
            admin_key: str = json.loads(text)["admin_key"]
            return admin_key
        time.sleep(_POLL_SECONDS)
    raise ServerFailed(f"tollgate demo wrote no {path.name}")


def _create_tenants(admin: httpx.Client) -> list[str]:
    plan_id = _create(admin, "/v1/plans", _PLAN)["plan_id"]
    tenants = []
    for number in range(TENANTS):
        body = {"name": f"benchmark {number}", "plan_id": plan_id, "models": ["*"]}
        tenants.append(_create(admin, "/v1/tenants", body)["tenant_id"])
    return tenants


def _create_keys(admin: httpx.Client, tenants: list[str]) -> list[str]:
    """Return the keys with the tenants taking turns, as the load sends them in this order."""
    keys = []
    for number in range(KEYS_PER_TENANT):
        wanted = {"name": f"key {number}", "scopes": ["predict"]}
        keys += [_create(admin, f"/v1/tenants/{one}/keys", wanted)["api_key"] for one in tenants]
    return keys


def _create_clients(admin: httpx.Client, tenants: list[str]) -> list[str]:
    """Return the clients in the order of the keys."""
    clients = []
    for number in range(KEYS_PER_TENANT):
        wanted = {"name": f"client {number}", "scopes": ["predict"]}
        made = [_create(admin, f"/v1/tenants/{one}/clients", wanted) for one in tenants]
        clients += [f"{client['client_id']}:{client['client_secret']}" for client in made]
    return clients


def _create(admin: httpx.Client, path: str, body: Mapping[str, object]) -> dict[str, str]:
    answer = admin.post(path, json=body)
    if answer.status_code != httpx.codes.CREATED:
        raise ServerFailed(f"POST {path} answered {answer.status_code}: {answer.text}")
    created: dict[str, str] = answer.json()
    return created
