"""A secret stands in the one answer that shows it: in no other, no log, no file, no encoding."""

import base64
import contextlib
import json
import sqlite3
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from auth.api_keys import mint
from auth.sealing import Sealer
from auth.secret_files import VersionedSecret
from auth.signing_keys import sealing_context
from tests.integration.planting import Planted, plant_people, plant_reports, plant_tokens
from tests.load import Caller
from tests.planted import appearances, encodings_of_bytes, leaks_below
from tests.population import make_caller, make_plan, make_tenant
from tests.serving import ROOT, Answer, Server, free_port
from tests.wire import send_raw

PEPPER = "planted-pepper-5pQz7LmXw2Rk9TbV4NcY8HdJ"
SEALING_KEY = "planted-sealing-key-6tHs8NkYv3Qj1WcX5MdZ9GbF"
REDIS_PASSWORD = "planted-redis-2kLq9WnT"
DATABASE_PASSWORD = "planted-database-7rJx4VbM"
PLANTED = {"pepper": PEPPER, "sealing key": SEALING_KEY, "password of Redis": REDIS_PASSWORD}


@dataclass(frozen=True)
class Evidence:
    """What a server left behind after a day's work, and the secrets that it was trusted with."""

    secrets: dict[str, str]
    private_keys: list[bytes]
    answers: bytes
    log: bytes
    metrics: bytes
    files: dict[str, bytes]


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


def work(server: Server) -> tuple[dict[str, str], bytes]:
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
    planted = Planted({f"key {number}": secret_part(key) for number, key in enumerate(keys)})
    plant_tokens(server, planted)
    plant_people(server, planted)
    plant_reports(server, planted)
    return planted.secrets | PLANTED, repr(answers + planted.answers).encode()


KEYS_ROUTE = "/v1/tenants/{tenant_id}/keys"
ROUTES = {
    *("", "/healthz/ready", "/openapi.json", "/v1/usage", "/v1/plans", "/v1/plans/{plan_id}"),
    *("/v1/models/{model}:predict", "/v1/tenants"),
    *(KEYS_ROUTE, f"{KEYS_ROUTE}/{{key_id}}", f"{KEYS_ROUTE}/{{key_id}}/rotate"),
    *("/oauth2/token", "/oauth2/introspect", "/oauth2/revoke", "/v1/tenants/{tenant_id}/clients"),
    *("/v1/admins", "/v1/admins/{admin_id}/totp", "/v1/admins/{admin_id}/totp/confirm"),
    *("/v1/sessions", "/v1/keys:report-leak"),
}
DEMO_KEYS = ("api_key", "admin_key", "billing_key")


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """Run a server at debug level through all of it, stop it, and keep every byte it wrote."""
    folder = tmp_path_factory.mktemp("secrets")
    address = f"127.0.0.1:{free_port()}"
    settings = {"TOLLGATE_LOG_LEVEL": "debug", "TOLLGATE_KEY_PEPPER": PEPPER}
    settings["TOLLGATE_SEALING_KEY"] = SEALING_KEY
    settings["TOLLGATE_REDIS_URL"] = f"redis://tollgate:{REDIS_PASSWORD}@127.0.0.1:{free_port()}/0"
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
    private_keys = opened_private_keys(folder)
    return Evidence(secrets, private_keys, answers, log.encode(), metrics, files)


def opened_private_keys(folder: Path) -> list[bytes]:
    """Open the private signing keys of a server that has ended, as only its sealing key can."""
    sealer = Sealer(VersionedSecret({1: SEALING_KEY.encode()}))
    with contextlib.closing(sqlite3.connect(folder / "tollgate.db")) as database:
        rows = database.execute("SELECT kid, sealed_private FROM signing_keys").fetchall()
    return [sealer.open(sealed, sealing_context(kid)) for kid, sealed in rows if sealed]


def contents(folder: Path) -> dict[str, bytes]:
    """Read every file but the demo's own, which is there to hold the keys."""
    allowed = {"demo.json", "server.log"}
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in allowed
    }


def test_encodings_are_found_at_every_offset() -> None:
    """The search below would find a secret that hides in a longer text."""
    for prefix in ("", "a", "ab", "abc"):
        text = f"{prefix}{PEPPER}suffix".encode()
        for hidden in (text, text.hex().encode(), base64.b64encode(text)):
            assert appearances([PEPPER], hidden)
    assert not appearances([PEPPER], b"nothing")


def test_every_kind_of_secret_is_planted(evidence: Evidence) -> None:
    """Twenty places and more, and the search has something to look for in each."""
    assert len(evidence.secrets) + len(evidence.private_keys) + len({DATABASE_PASSWORD}) >= 20
    assert all(len(secret) >= 8 for secret in evidence.secrets.values())


def test_private_signing_key_is_nowhere(evidence: Evidence) -> None:
    """It is stored sealed, and opened in memory alone."""
    assert evidence.private_keys
    places = [evidence.answers, evidence.log, evidence.metrics, *evidence.files.values()]
    for key in evidence.private_keys:
        for encoded in encodings_of_bytes(key).values():
            assert not any(encoded in place for place in places)


def test_secret_is_in_no_answer(evidence: Evidence) -> None:
    """Good or bad, no answer but the one that shows a key holds it."""
    assert appearances([*evidence.secrets.values()], evidence.answers) == []


def test_secret_is_in_no_log(evidence: Evidence) -> None:
    """Not at debug level either; the demo's printed request is the one exception."""
    assert b'"level":"debug"' in evidence.log
    assert appearances([*evidence.secrets.values()], evidence.log) == []


def test_log_tells_neither_paths_nor_queries_nor_bodies(evidence: Evidence) -> None:
    """Requests are told by the template of their route alone."""
    lines = [json.loads(line) for line in evidence.log.splitlines() if line.startswith(b"{")]
    requests = [line for line in lines if line["logger"] == "tollgate.access"]
    assert len(requests) > 20
    assert {line["route"] for line in requests} == ROUTES


def test_secret_is_in_no_metric(evidence: Evidence) -> None:
    """Nothing that a caller wrote is a label."""
    assert b"tollgate_requests_total" in evidence.metrics
    assert appearances([*evidence.secrets.values()], evidence.metrics) == []


def test_secret_is_in_no_file(evidence: Evidence) -> None:
    """Database, journal, their write-ahead logs and everything else in the data folder."""
    assert {"tollgate.db", "journals/worker-0.db"} <= evidence.files.keys()
    for name, data in evidence.files.items():
        assert appearances([*evidence.secrets.values()], data) == [], name


def test_password_of_the_database_is_in_no_message(tmp_path: Path) -> None:
    """A database that is away is told without it, at debug level too."""
    url = f"postgresql://tollgate:{DATABASE_PASSWORD}@127.0.0.1:{free_port()}/records"
    settings = {"TOLLGATE_DATABASE_URL": url, "TOLLGATE_LOG_LEVEL": "debug"}
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli", "serve"],
        cwd=ROOT,
        env=settings | {"TOLLGATE_DATA_DIR": str(tmp_path)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr
    assert appearances([DATABASE_PASSWORD], done.stdout + done.stderr) == []


@pytest.mark.parametrize(
    "hidden",
    [mint(kind="sess").text, "tg_clnt_0", "%74%67%5F%6C%69%76%65%5F"],
    ids=["a session", "a beginning", "in percents"],
)
def test_search_of_all_logs_finds_a_secret(tmp_path: Path, hidden: str) -> None:
    """What runs after the whole suite is not blind (`tests/conftest.py`)."""
    (tmp_path / "server.log").write_text(f"curl tg_live_on_purpose\nrequest {hidden} failed\n")
    leaks = leaks_below(tmp_path)
    (tmp_path / "server.log").unlink()
    assert len(leaks) == 1


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
