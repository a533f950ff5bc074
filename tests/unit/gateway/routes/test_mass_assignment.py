"""No body assigns what the server owns: every one is closed, and names none of it by chance."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.gateway.routes.control_plane import ControlPlane

# What a body may hold does not depend on the database.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

OWNED = {
    *("tenant_id", "key_id", "client_id", "admin_id", "session_id", "role", "kind", "is_platform"),
    *("plan_id", "price", "status", "is_test", "may_exceed_plan", "authentication", "secret"),
    *("created_at", "revoked_at", "deleted_at", "last_used_at", "revision", "digest", "actor"),
    *("password_hash", "totp_secret", "is_disabled", "bound_models", "units_used", "price"),
}
"""What the records hold and callers do not set."""

ASSIGNABLE = {"createTenant": {"plan_id"}, "changeTenant": {"plan_id", "status"}}
"""Of these, what an operation of the platform is there to set."""


_OF_A_PROTOCOL = "/v2/"
"""Messages whose members others define, and add to; they predict, list or load, and set nothing."""


async def _bodies(plane: ControlPlane) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    document = (await plane.client.get("/openapi.json")).json()
    return (
        (operation["operationId"], method, path, content["application/json"]["schema"])
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if "application/json" in (content := operation.get("requestBody", {}).get("content", {}))
        and not path.endswith(":predict")
        and not path.startswith(_OF_A_PROTOCOL)
    )


def _objects(schema: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - a JSON Schema is any JSON
    if isinstance(schema, list):
        for item in schema:
            yield from _objects(item)
    elif isinstance(schema, dict):
        if "properties" in schema:
            yield schema
        for item in schema.values():
            yield from _objects(item)


async def test_every_body_is_closed(plane: ControlPlane) -> None:
    """A member that is not listed is refused, in every object of every body."""
    for name, _, _, schema in await _bodies(plane):
        assert schema["type"] == "object", name
        assert all(item["additionalProperties"] is False for item in _objects(schema)), name


async def test_no_body_lists_what_the_server_owns(plane: ControlPlane) -> None:
    """But the plan and the status of a tenant, which the platform sets."""
    for name, _, _, schema in await _bodies(plane):
        listed = {member for item in _objects(schema) for member in item["properties"]}
        assert listed & OWNED == ASSIGNABLE.get(name, set()), name


async def test_owned_member_in_a_body_is_refused(plane: ControlPlane) -> None:
    """Whoever sends one is told, whatever else the body holds; nothing is ignored in silence."""
    asked = 0
    for name, method, path, _ in await _bodies(plane):
        if name in ("logIn", "reportLeak"):  # answered alike, whatever is wrong
            continue
        target = re.sub(r"\{\w+\}", plane.customer.tenant_id, path)
        for member in OWNED - ASSIGNABLE.get(name, set()):
            answer = await plane.admin.call(method.upper(), target, json={member: "platform"})
            assert answer.status_code == 422, (name, member, answer.text)
            asked += 1
    assert asked > 200
