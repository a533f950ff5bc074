"""Make the demo's tenant and keys in a running stack once, and find them again the next time."""

import json
import shlex
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.stack_engine import StackFailed

FILE_NAME = "demo.json"
_PRIVATE_FILE = 0o600
_TENANT_NAME = "Demo"
_TIMEOUT_SECONDS = 30.0
_OK = 200

RunTollgate = Callable[..., Any]
"""Runs `tollgate ... --json` in the gateway's container and returns what it printed."""


@dataclass(frozen=True)
class Door:
    """Where the stack is reached, and who vouches for its certificate."""

    url: str
    authority: Path
    """A file of certificates; where there is none, the system's are believed."""

    @property
    def cafile(self) -> str | None:
        """Name the file if it is there."""
        return str(self.authority) if self.authority.exists() else None

    def call(self, path: str, key: str) -> tuple[int, Any]:
        """Send one request and return its status and JSON body.

        Raises:
            StackFailed: nothing answers there, or not with a certificate that is believed.
        """
        headers = {"Authorization": f"Bearer {key}"}
        request = urllib.request.Request(self.url + path, headers=headers)  # noqa: S310 - https # nosec B310
        context = ssl.create_default_context(cafile=self.cafile)
        try:
            with urllib.request.urlopen(  # noqa: S310 - https # nosec B310
                request, timeout=_TIMEOUT_SECONDS, context=context
            ) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, None
        except OSError as error:
            raise StackFailed(f"{self.url} cannot be reached from here: {error}") from None


def prepare_demo(path: Path, door: Door, tollgate: RunTollgate) -> dict[str, Any]:
    """Return the demo's keys, those of the file if they still work, else new ones.

    Threat: the file holds keys, so it is never, even for a moment, readable by others.
    """
    document = _read(path)
    if document is None or door.call("/v1/models", document["api_key"])[0] != _OK:
        document = _create(tollgate)
    document |= {"url": door.url, "cacert": door.cafile}
    path.touch(mode=_PRIVATE_FILE)
    path.chmod(_PRIVATE_FILE)
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return document


def find_example(door: Door, key: str) -> tuple[str, dict[str, Any]] | None:
    """Find a model of the server that comes with an example; return its name and the body."""
    _, listed = door.call("/v1/models", key)
    for name in (listed or {}).get("models", []):
        _, document = door.call(f"/v1/models/{name}/metadata", key)
        if document and document.get("example"):
            return name, document["example"]
    return None


def curl_line(door: Door, path: str, *, key: str, body: object = None) -> str:
    """Write a request that works when pasted into a shell."""
    words = ["curl", "-sS", *(["--cacert", door.cafile] if door.cafile else []), door.url + path]
    words += ["-H", f"Authorization: Bearer {key}"]
    if body is not None:
        words += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
    return shlex.join(words)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return document


def _create(tollgate: RunTollgate) -> dict[str, Any]:
    """Make keys, and the tenant with its plan unless it is there from another time."""
    tenants = tollgate("tenants", "list")["data"]
    found = [each["tenant_id"] for each in tenants if each["name"] == _TENANT_NAME]
    tenant_id = found[0] if found else _create_tenant(tollgate)
    keys = {
        "api_key": (tenant_id, "predict,models:read,usage:read"),
        "admin_key": ("platform", "all"),
        "billing_key": ("platform", "usage:read,usage:read:all"),
    }
    document = {"tenant_id": tenant_id}
    for name, (holder, scopes) in keys.items():
        issued = tollgate("keys", "create", holder, "--name", f"demo {name}", "--scopes", scopes)
        document[name] = issued["api_key"]
    return document


def _create_tenant(tollgate: RunTollgate) -> str:
    limits = {"requests-per-second": 1000, "burst": 2000, "units-per-month": 1_000_000}
    words = [word for name, value in limits.items() for word in (f"--{name}", str(value))]
    plan = tollgate("plans", "create", "--name", "demo", *words, "--max-in-flight", "256")
    created = tollgate(
        "tenants", "create", "--name", _TENANT_NAME, "--plan", plan["plan_id"], "--models", "*"
    )
    tenant_id: str = created["tenant_id"]
    return tenant_id
