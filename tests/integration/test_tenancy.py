"""A tenant learns nothing of another and changes nothing of it, wherever it puts the other's ids.

The matrix is generated from the OpenAPI document: every operation, every place where an id can
stand, every id of the other tenant against one that never existed.
"""

import hashlib
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.integration.id_places import BODIES, Place, Request, places_of, requests_of
from tests.load import Caller
from tests.population import make_caller, make_client, make_plan
from tests.repositories import scaled_model, write_model
from tests.serving import Server, free_port
from tests.wire import send_raw, statuses

CANARY = "canary7f3a"
TENANT_SCOPES = ["predict", "models:read", "keys:read", "keys:write", "usage:read", "audit:read"]
_VOLATILE = re.compile(
    rb"(?im)^(?:date|x-request-id|content-length|usage-complete-through|(?:repr|content)-digest)"
    rb":[^\r\n]*\r\n"
)
_MARKS = re.compile(
    rb'"(?:request_id|complete_through|last_used_at|reset_seconds)":(?:null|\d+|"[^"]*")'
)
"""What differs between two answers to one question: the asking itself is a use of the key."""


@dataclass(frozen=True)
class Neighbours:
    """A server with two tenants: the one who tries, and the one whose everything is a canary."""

    server: Server
    curious: Caller
    own_ids: dict[str, str]
    other: Caller
    other_ids: dict[str, str]

    def requests(self) -> Iterator[tuple[Request, dict[str, object]]]:
        """Make one request for each operation."""
        document = self.server.call("GET", "/openapi.json").body
        return requests_of(document, self.own_ids)

    def places(self) -> Iterator[Place]:
        """List every place of every operation."""
        for request, operation in self.requests():
            yield from places_of(request, operation)

    def ask(self, request: Request) -> bytes:
        """Send a request of the curious tenant and return the whole answer, but for what changes.

        The request id and the times of the answer are cut out.
        """
        received = send_raw(self.server.port, request.to_bytes(self.curious.api_key))
        return _MARKS.sub(b"", _VOLATILE.sub(b"", received))


def make_tenant_of(server: Server, name: str, *, plan_id: str, models: list[str]) -> str:
    """Create a tenant that may use some models."""
    body = {"name": name, "plan_id": plan_id, "models": models}
    answer = server.call("POST", "/v1/tenants", key=server.demo["admin_key"], body=body)
    assert answer.status == 201, answer.body
    return str(answer.body["tenant_id"])


def admin_ids(server: Server) -> dict[str, str]:
    """Take an admin on and log it in: ids that no tenant may know of."""
    credentials = {"username": CANARY, "password": "a long phrase that nobody uses"}
    admin = credentials | {"scopes": ["tenants:read"]}
    made = server.call("POST", "/v1/admins", key=server.demo["admin_key"], body=admin)
    opened = server.call("POST", "/v1/sessions", body=credentials)
    assert (made.status, opened.status) == (201, 201)
    return {"admin_id": made.body["admin_id"], "session_id": opened.body["session_id"]}


def make_neighbours(server: Server) -> Neighbours:
    """Make both tenants, and use on both sides."""
    plan_id = make_plan(server)
    tenant_id = make_tenant_of(server, "curious", plan_id=plan_id, models=["shared"])
    curious = make_caller(server, tenant_id, scopes=TENANT_SCOPES)
    other_plan = make_plan(server, name=f"{CANARY} plan", requests_per_second=77_777)
    models = [f"{CANARY}-model", "shared"]
    other_tenant = make_tenant_of(server, f"{CANARY} tenant", plan_id=other_plan, models=models)
    bound = {"networks": ["127.0.0.0/8", "203.0.113.77/32"], "models": models}
    fields = {"name": f"{CANARY} key", "scopes": TENANT_SCOPES} | bound
    other = make_caller(server, other_tenant, **fields)
    used = server.predict(other.api_key, {"instances": [1]}, model=models[0])
    assert used.status == 200
    assert server.predict(curious.api_key, {"instances": [1]}, model="shared").status == 200
    ids = {
        "tenant_id": other_tenant,
        "key_id": other.key_id,
        "client_id": make_client(server, other_tenant, name=f"{CANARY} client").client_id,
        "plan_id": other_plan,
        "model": models[0],
        "request_id": used.headers["x-request-id"],
        **admin_ids(server),
    }
    spare = make_caller(server, tenant_id, name="spare", scopes=["predict"])
    own_ids = {
        "tenant_id": tenant_id,
        "key_id": spare.key_id,
        "client_id": make_client(server, tenant_id).client_id,
        "plan_id": plan_id,
        "model": "shared",
        "version": "1",
        "label": "champion",
        "period": "197001",
        "admin_id": "adm_0000000000000000",
        "session_id": "ses_0000000000000000",
    }
    return Neighbours(server, curious, own_ids, other, ids)


@pytest.fixture(scope="module")
def neighbours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neighbours]:
    """Run a server with a model for both tenants and one for the other alone."""
    repository = tmp_path_factory.mktemp("models")
    write_model(repository, "shared", scaled_model(1))
    write_model(repository, f"{CANARY}-model", scaled_model(2))
    settings = {"TOLLGATE_MODEL_REPOSITORY": str(repository)}
    server = Server(tmp_path_factory.mktemp("tenancy"), free_port(), settings=settings)
    server.start()
    yield make_neighbours(server)
    server.stop()


def never_existed(identifier: str) -> str:
    """Make an id of the same form, so near that a list reads the same after either."""
    return identifier[:-1] + ("a" if identifier[-1] != "a" else "b")


def rows_with(server: Server, identifiers: list[str]) -> str:
    """Hash every row of every table that holds one of these ids."""
    digest = hashlib.sha256()
    with sqlite3.connect(server.data_dir / "tollgate.db") as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in sorted(tables.fetchall()):
            rows = connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - its own
            found = sorted(repr(row) for row in rows if set(identifiers) & set(row))
            digest.update(f"{table}: {found}".encode())
    connection.close()
    return digest.hexdigest()


def test_every_operation_with_a_body_has_one(neighbours: Neighbours) -> None:
    """A new operation that takes a body is asked with it, or this fails."""
    for request, operation in neighbours.requests():
        assert (request.body is not None) == ("requestBody" in operation), request.operation
    assert set(BODIES) <= {request.operation for request, _ in neighbours.requests()}


@pytest.fixture(scope="module")
def answers(neighbours: Neighbours) -> list[tuple[object, bytes, bytes]]:
    """Ask with every id of the other tenant in every place, and with one that never existed."""
    found: list[tuple[object, bytes, bytes]] = []
    for place in neighbours.places():
        for kind, identifier in neighbours.other_ids.items():
            where = (place.request.operation, place.kind, place.name, kind)
            real = neighbours.ask(place.holding(identifier))
            found.append((where, real, neighbours.ask(place.holding(never_existed(identifier)))))
    return found


def test_id_of_another_tenant_is_as_if_it_never_existed(
    answers: list[tuple[object, bytes, bytes]],
) -> None:
    """Byte for byte the same answer, in every place of every operation, and no server error."""
    for where, real, invented in answers:
        assert real == invented, where
        assert statuses(real)[0] < 500, where
    assert len(answers) > 500


def test_own_place_of_another_tenants_id_is_not_found(neighbours: Neighbours) -> None:
    """A tenant, key or model of somebody else in its own place is 404, or the scope is missing."""
    for place in neighbours.places():
        if place.kind == "path" and place.name in neighbours.other_ids:
            answer = neighbours.ask(place.holding(neighbours.other_ids[place.name]))
            assert statuses(answer)[0] in (403, 404), (place.request.operation, place.name)


def test_nothing_of_the_other_tenant_changes(neighbours: Neighbours) -> None:
    """Its rows in every table are the same after every attempt."""
    neighbours.server.call("GET", "/v1/usage", key=neighbours.server.demo["billing_key"])
    identifiers = list(neighbours.other_ids.values())
    before = rows_with(neighbours.server, identifiers)
    for place in neighbours.places():
        if place.name in neighbours.other_ids:
            neighbours.ask(place.holding(neighbours.other_ids[place.name]))
    assert rows_with(neighbours.server, identifiers) == before
    other = neighbours.other
    assert (
        neighbours.server.predict(other.api_key, {"instances": [1]}, model="shared").status == 200
    )


def test_nothing_of_the_other_tenant_is_told(
    neighbours: Neighbours, answers: list[tuple[object, bytes, bytes]]
) -> None:
    """No text, id or limit of it is in any answer, not even an id that was asked for."""
    received = b"".join(neighbours.ask(request) for request, _ in neighbours.requests())
    received += b"".join(real for _, real, _ in answers)
    for planted in (CANARY, "77777", "203.0.113.77", *neighbours.other_ids.values()):
        assert planted.encode() not in received, planted


def test_attempts_are_not_on_anybodys_bill(neighbours: Neighbours) -> None:
    """The curious tenant paid for its one prediction, the other for its own."""
    billing_key = neighbours.server.demo["billing_key"]
    for place in neighbours.places():
        neighbours.ask(place.holding(neighbours.other_ids["tenant_id"]))
    path = f"/v1/usage?tenant_id={neighbours.curious.tenant_id}"
    data = neighbours.server.call("GET", path, key=billing_key).body["data"]
    assert sum(item["requests"] for item in data) == 1
