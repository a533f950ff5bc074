"""A secret stands in the one answer that shows it: in no other, no log, no file, no encoding."""

import base64
import json
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.load import Caller
from tests.population import make_caller, make_plan, make_tenant
from tests.serving import ROOT, Answer, Server, free_port
from tests.wire import send_raw

PEPPER = "planted-pepper-5pQz7LmXw2Rk9TbV4NcY8HdJ"


@dataclass(frozen=True)
class Evidence:
    """What a server left behind after a day's work, and the secrets that it was trusted with."""

    secrets: list[str]
    answers: bytes
    log: bytes
    metrics: bytes
    files: dict[str, bytes]


def encodings(secret: str) -> dict[str, bytes]:
    """Write a secret as it might hide: raw, base64 at every offset, hex, percent-encoded."""
    raw = secret.encode()
    found = {"raw": raw, "hex": raw.hex().encode(), "HEX": raw.hex().upper().encode()}
    found["percent"] = "".join(f"%{byte:02X}" for byte in raw).encode()
    for offset in range(3):
        text = base64.b64encode(b"\0" * offset + raw)
        inner = text[4 if offset else 0 : (len(raw) + offset) // 3 * 4]
        found[f"base64 at {offset}"] = inner
        found[f"base64url at {offset}"] = inner.translate(bytes.maketrans(b"+/", b"-_"))
    return found


def secret_part(api_key: str) -> str:
    """Take the part of a key that nobody else may know."""
    return api_key.rpartition("_")[2]


def bad_requests(server: Server, caller: Caller) -> list[Answer | bytes]:
    """Put a good key where it does not belong and where it is not enough."""
    key = caller.api_key
    predict = "/v1/models/housing:predict"
    head = f"POST {predict} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    return [
        server.predict(key[:-1] + "~", {}),
        server.predict(key + key, {}),
        server.predict(key, {"instances": [{key: key}]}),
        server.predict(key, {key: key}),
        server.predict(key, f"[{key}".encode()),
        server.predict(key, {}, model=key),
        server.call("POST", f"{predict}?api_key={key}", key=key, body={}),
        server.call("GET", f"/v1/usage?tenant_id={key}", key=key),
        server.call("GET", f"/v1/plans/{key}", key=key),
        server.call("GET", f"/v1/usage?{key}={key}"),
        server.call("GET", "/v1/usage", headers={"Authorization": f"Basic {key}"}),
        server.call("GET", "/v1/usage", key=key, headers={"X-API-Key": key}),
        server.call("POST", f"/v1/tenants/{key}/keys", key=key, body={"name": key}),
        server.call("POST", "/v1/plans", key=server.demo["admin_key"], body={key: key}),
        server.call("DELETE", f"/v1/tenants/{caller.tenant_id}/keys/{key}", key=key),
        send_raw(server.port, f"{head}Content-Length: {key}\r\n\r\n".encode()),
        send_raw(server.port, f"{head}Transfer-Encoding: {key}\r\n\r\n".encode()),
        send_raw(server.port, f"{key} / HTTP/1.1\r\n\r\n".encode()),
    ]


def work(server: Server) -> tuple[list[str], bytes]:
    """Do good and bad work with keys; return the secrets, and answers that may not show them."""
    admin_key = server.demo["admin_key"]
    scopes = ["predict", "usage:read", "keys:read", "keys:write"]
    caller = make_caller(server, make_tenant(server, make_plan(server)), scopes=scopes)
    path = f"/v1/tenants/{caller.tenant_id}/keys"
    rotated = server.call("POST", f"{path}/{caller.key_id}/rotate", key=admin_key, body={})
    answers: list[Answer | bytes] = [
        server.predict(rotated.body["api_key"], server.demo["example"]),
        server.predict(caller.api_key, server.demo["example"]),
        server.call("GET", path, key=rotated.body["api_key"]),
        server.call("GET", f"{path}/{caller.key_id}", key=rotated.body["api_key"]),
        server.call("GET", "/v1/usage", key=rotated.body["api_key"]),
        server.call("GET", "/openapi.json"),
    ]
    now = Caller(caller.tenant_id, caller.key_id, rotated.body["api_key"])
    answers += bad_requests(server, now)
    assert server.call("DELETE", f"{path}/{caller.key_id}", key=admin_key).status == 204
    answers.append(server.predict(now.api_key, server.demo["example"]))
    keys = [caller.api_key, now.api_key, *(server.demo[name] for name in DEMO_KEYS)]
    return [PEPPER, *(secret_part(key) for key in keys)], repr(answers).encode()


KEYS_ROUTE = "/v1/tenants/{tenant_id}/keys"
ROUTES = {
    *("", "/healthz/ready", "/openapi.json", "/v1/usage", "/v1/plans", "/v1/plans/{plan_id}"),
    *("/v1/models/{model}:predict", "/v1/tenants"),
    *(KEYS_ROUTE, f"{KEYS_ROUTE}/{{key_id}}", f"{KEYS_ROUTE}/{{key_id}}/rotate"),
}
DEMO_KEYS = ("api_key", "admin_key", "billing_key")


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """Run a server at debug level through all of it, stop it, and keep every byte it wrote."""
    folder = tmp_path_factory.mktemp("secrets")
    address = f"127.0.0.1:{free_port()}"
    settings = {"TOLLGATE_LOG_LEVEL": "debug", "TOLLGATE_KEY_PEPPER": PEPPER}
    settings |= {"TOLLGATE_METRICS_LISTEN": address, "TOLLGATE_LOG_FORMAT": "json"}
    server = Server(folder, free_port(), settings=settings)
    server.start()
    secrets, answers = work(server)
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=60) as response:
        metrics = response.read()
    while_running = contents(folder)
    server.stop()
    log = "\n".join(line for line in server.log().split("\n") if "curl" not in line)
    after = contents(folder)
    files = {f"running {name}": data for name, data in while_running.items()} | after
    return Evidence(secrets, answers, log.encode(), metrics, files)


def contents(folder: Path) -> dict[str, bytes]:
    """Read every file but the demo's own, which is there to hold the keys."""
    allowed = {"demo.json", "server.log"}
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in allowed
    }


def appearances(secrets: list[str], data: bytes) -> list[tuple[str, str]]:
    """List which secrets stand in the bytes, by the start of the secret and the encoding."""
    return [
        (secret[:6], name)
        for secret in secrets
        for name, encoded in encodings(secret).items()
        if encoded in data
    ]


def test_encodings_are_found_at_every_offset() -> None:
    """The search below would find a secret that hides in a longer text."""
    for prefix in ("", "a", "ab", "abc"):
        text = f"{prefix}{PEPPER}suffix".encode()
        for hidden in (text, text.hex().encode(), base64.b64encode(text)):
            assert appearances([PEPPER], hidden)
    assert not appearances([PEPPER], b"nothing")


def test_secret_is_in_no_answer(evidence: Evidence) -> None:
    """Good or bad, no answer but the one that shows a key holds it."""
    assert appearances(evidence.secrets, evidence.answers) == []


def test_secret_is_in_no_log(evidence: Evidence) -> None:
    """Not at debug level either; the demo's printed request is the one exception."""
    assert b'"level":"debug"' in evidence.log
    assert appearances(evidence.secrets, evidence.log) == []


def test_log_tells_neither_paths_nor_queries_nor_bodies(evidence: Evidence) -> None:
    """Requests are told by the template of their route alone."""
    lines = [json.loads(line) for line in evidence.log.splitlines() if line.startswith(b"{")]
    requests = [line for line in lines if line["logger"] == "tollgate.access"]
    assert len(requests) > 20
    assert {line["route"] for line in requests} == ROUTES


def test_secret_is_in_no_metric(evidence: Evidence) -> None:
    """Nothing that a caller wrote is a label."""
    assert b"tollgate_requests_total" in evidence.metrics
    assert appearances(evidence.secrets, evidence.metrics) == []


def test_secret_is_in_no_file(evidence: Evidence) -> None:
    """Database, journal, their write-ahead logs and everything else in the data folder."""
    assert {"tollgate.db", "journals/worker-0.db"} <= evidence.files.keys()
    for name, data in evidence.files.items():
        assert appearances(evidence.secrets, data) == [], name


def test_secret_is_in_no_message_of_the_command(tmp_path: Path) -> None:
    """A refused start tells the setting and not its value."""
    weak = "changeme-changeme-changeme-changeme"
    environment = {"TOLLGATE_DATA_DIR": str(tmp_path), "TOLLGATE_KEY_PEPPER": weak}
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli", "tenants", "list"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert appearances([weak], done.stdout + done.stderr) == []
