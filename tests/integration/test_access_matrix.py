"""Every operation of the OpenAPI document answers every kind of principal by one table."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.settings import Settings
from tests.actors import TESTER
from tests.integration.access_principals import (
    PASSWORD,
    PRINCIPALS,
    USERNAME,
    World,
    new_username,
    open_world,
)
from tests.integration.access_table import cells
from tests.integration.id_places import (
    FORMS,
    GOOD_BODIES,
    PATH_IDS,
    UPLOADS,
    Request,
    requests_of,
)
from tests.repositories import scaled_model, write_model
from tests.verdicts import share_verdicts

MODEL = "shared"
SPARE = "spare"
SPARED = {"loadModel": {"model": SPARE}, "unloadModel": {"model": SPARE}}
"""What takes a model out of service takes one that nobody else is asked about."""

BODIES = GOOD_BODIES | {
    "createKey": {"name": "x", "scopes": ["usage:read"]},
    "createClient": {"name": "x", "scopes": ["usage:read"]},
    "changeTenant": {"models": ["*"]},
    "logIn": {"username": USERNAME, "password": PASSWORD},
    "createAdmin": {"password": PASSWORD, "scopes": ["tenants:write"]},
    "predict": {"instances": [1]},
    "promoteModelVersion": {"version": "1"},
    "setModelLabel": {"version": "1"},
}
"""Where the other matrix would be refused for another reason."""

_ABSENT = {"retireModelVersion": {"version": "999"}}
"""What is asked for in place of something that every other cell needs."""

_CODES = {
    401: {"unauthenticated", "invalid_client"},
    404: {"not_found", "model_not_found", "trial_not_found", "record_not_found"},
    409: {"nothing_before"},
    422: {"model_refused"},
}
_FORBIDDEN = {"suspended": "tenant_suspended", "elsewhere": "network_not_allowed"}


@dataclass(frozen=True)
class Gate:
    """The running app, and the credentials of everybody by column and name."""

    client: httpx.AsyncClient
    world: World
    credentials: dict[str, dict[str, str]]
    plan_id: str

    async def requests(self) -> list[Request]:
        """Make one request for each operation, its ids to be filled in."""
        document = (await self.client.get("/openapi.json")).json()
        ids = dict.fromkeys(PATH_IDS, "0")
        own = ids | {"model": MODEL, "version": "1", "label": "champion", "period": "197001"}
        return [request for request, _ in requests_of(document, own)]

    async def ask(self, request: Request, credential: str) -> httpx.Response:
        """Send a request about something of tenant A that nobody else is asked about."""
        targeted = await self._targeted(request)
        headers = {"Authorization": f"Bearer {credential}"} if credential else {}
        is_form = request.operation in FORMS
        if request.operation in UPLOADS:
            headers["Content-Type"] = "application/octet-stream"
        return await self.client.request(
            targeted.method,
            targeted.path.format(**targeted.path_values),
            headers=headers,
            data=targeted.body if is_form else None,
            json=None if is_form else targeted.body,
        )

    async def _targeted(self, request: Request) -> Request:
        """Fill in ids; what an operation may end is made for it."""
        world = self.world
        ids = {"tenant_id": world.tenant_a, "plan_id": self.plan_id}
        values = request.path_values | ids | SPARED.get(request.operation, {})
        values |= _ABSENT.get(request.operation, {})
        if request.operation == "deleteTenant":
            values["tenant_id"] = await self._tenant()
        if "key_id" in request.path_values:
            values["key_id"] = (await world.key(world.tenant_a, "usage:read")).key.key_id
        if "client_id" in request.path_values:
            made = await world.store.create_client(
                world.tenant_a, actor=TESTER, name="c", scopes=["usage:read"]
            )
            values["client_id"] = made.client.client_id
        if "admin_id" in request.path_values:
            values["admin_id"] = (await world.admin()).admin_id
        if "session_id" in request.path_values:
            values["session_id"] = (await world.log_in()).session.session_id
        body = BODIES.get(request.operation)
        if request.operation == "createAdmin":
            body = {"username": new_username(), **BODIES["createAdmin"]}
        if body is not None and "plan_id" in body:
            body = body | {"plan_id": self.plan_id}
        return replace(request, path_values=values, body=body)

    async def _tenant(self) -> str:
        tenant = await self.world.store.create_tenant(
            actor=TESTER, name="short-lived", plan_id=None, models=["*"]
        )
        return tenant.tenant_id


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Gate]:
    """Run the app with a model, and make everybody's credentials."""
    for name in (MODEL, SPARE):
        write_model(tmp_path / "models", name, scaled_model(1))
    settings = Settings(
        data_dir=share_verdicts(tmp_path / "var"),
        model_repository=tmp_path / "models",
        failed_attempts_per_minute=1_000_000,
        log_ins_per_minute=1_000_000,
        password_memory_kibibytes=12_288,
        public_requests_per_minute=1_000_000,
    )
    async with open_world(settings) as (app, world, credentials):
        await world.admin(USERNAME)
        plan = await world.store.create_plan(
            actor=TESTER,
            name="p",
            requests_per_second=None,
            burst=None,
            units_per_month=None,
            max_in_flight=None,
        )
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://tollgate") as client:
            yield Gate(client, world, credentials, plan.plan_id)


def _fault(answer: httpx.Response, *, column: str, expected: int) -> str | None:
    """Say how an answer differs from its cell; None where it does not."""
    if answer.status_code != expected:
        return f"{answer.status_code} instead of {expected}: {answer.text[:200]}"
    if expected < 400:
        return None
    codes = _CODES.get(expected, {_FORBIDDEN.get(column, "scope_missing")})
    document: dict[str, Any] = answer.json()
    code = document.get("code", document["error"])
    return None if code in codes else f"{code} instead of {codes}"


async def test_every_operation_has_a_row_and_every_row_an_operation(gate: Gate) -> None:
    """Whoever adds a route says who may use it."""
    assert {request.operation for request in await gate.requests()} == cells().keys()


def test_every_row_says_something_of_every_principal() -> None:
    """A new kind of principal is asked everywhere."""
    assert all(row.keys() == PRINCIPALS.keys() for row in cells().values())


async def test_every_cell_is_answered_as_the_table_says(gate: Gate) -> None:
    """Each operation for each principal: let in, or refused with the one right reason."""
    table = cells()
    faults = []
    for request in await gate.requests():
        for column, credentials in gate.credentials.items():
            expected = table[request.operation][column]
            for name, credential in credentials.items():
                fault = _fault(
                    await gate.ask(request, credential), column=column, expected=expected
                )
                faults += [f"{request.operation} by {name}: {fault}"] if fault else []
    assert faults == []


async def test_strangers_are_answered_alike(gate: Gate) -> None:
    """Whatever is wrong with a credential, every operation answers with the same bytes."""
    strangers = gate.credentials["stranger"]
    for request in await gate.requests():
        if cells()[request.operation]["stranger"] != 401:
            continue
        answers = {
            re.sub(r'"request_id":"[^"]*"', "", (await gate.ask(request, credential)).text)
            for credential in strangers.values()
        }
        assert len(answers) == 1, request.operation
