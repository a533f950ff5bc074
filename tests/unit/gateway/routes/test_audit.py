"""The audit log over HTTP: each tenant reads what became of its own, the platform everything."""

from typing import Any

import pytest

from tests.unit.gateway.routes.control_plane import Caller, ControlPlane


async def entries_of(caller: Caller, **params: str | int) -> list[dict[str, Any]]:
    """Read the log as far as the caller sees it."""
    answer = await caller.get("/v1/audit", **params)
    assert answer.status_code == 200, answer.text
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


async def make_key(caller: Caller, tenant_id: str) -> str:
    """Issue a key and return its id."""
    wish = {"name": "audited", "scopes": ["predict"]}
    answer = await caller.post(f"/v1/tenants/{tenant_id}/keys", wish)
    assert answer.status_code == 201
    key_id: str = answer.json()["key_id"]
    return key_id


async def test_change_names_its_principal_and_its_request(plane: ControlPlane) -> None:
    """By the ids that the access log has."""
    path = f"/v1/tenants/{plane.customer.tenant_id}/keys"
    answer = await plane.customer.post(path, {"name": "audited", "scopes": ["predict"]})
    last = (await entries_of(plane.customer))[-1]
    assert last["action"] == "key.create"
    assert last["target"] == answer.json()["key_id"]
    assert last["request_id"] == answer.headers["x-request-id"]
    assert last["principal"] == {
        "kind": "api_key",
        "id": plane.customer.key_id,
        "tenant_id": plane.customer.tenant_id,
    }
    assert (last["before"], last["after"]["name"]) == (None, "audited")


async def test_tenant_sees_its_own_records_only(plane: ControlPlane) -> None:
    """Whatever it asks for."""
    await make_key(plane.stranger, plane.stranger.tenant_id)
    own = plane.customer.tenant_id
    assert {entry["tenant_id"] for entry in await entries_of(plane.customer)} == {own}
    target = (await entries_of(plane.stranger))[-1]["target"]
    assert await entries_of(plane.customer, target=target) == []


async def test_tenant_is_not_told_who_acted_for_the_platform(plane: ControlPlane) -> None:
    """Only that it was the platform."""
    key_id = await make_key(plane.admin, plane.customer.tenant_id)
    [entry] = await entries_of(plane.customer, target=key_id)
    assert entry["principal"] == {"kind": None, "id": None, "tenant_id": "platform"}
    assert entry["request_id"] is None
    [told] = await entries_of(plane.admin, target=key_id)
    assert told["principal"]["id"] == plane.admin.key_id


@pytest.mark.parametrize("tenant_id", ["ten_unknown", "platform", "stranger"])
async def test_another_tenants_log_is_not_found(plane: ControlPlane, tenant_id: str) -> None:
    """As if there were no such tenant."""
    asked = plane.stranger.tenant_id if tenant_id == "stranger" else tenant_id
    answer = await plane.customer.get("/v1/audit", tenant_id=asked)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_platform_reads_about_one_tenant(plane: ControlPlane) -> None:
    """Or about all."""
    own = plane.customer.tenant_id
    assert {entry["tenant_id"] for entry in await entries_of(plane.admin, tenant_id=own)} == {own}
    assert len({entry["tenant_id"] for entry in await entries_of(plane.admin)}) > 1


async def test_pages_are_the_whole_without_repetition(plane: ControlPlane) -> None:
    """One after the other, in the order of the numbers."""
    for _ in range(3):
        await make_key(plane.customer, plane.customer.tenant_id)
    whole = await entries_of(plane.customer)
    paged: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        answer = (await plane.customer.get("/v1/audit", limit=2, after=after)).json()
        paged += answer["data"]
        after = answer["next"]
    assert paged == whole


async def test_filters_narrow(plane: ControlPlane) -> None:
    """By action and by time."""
    await make_key(plane.customer, plane.customer.tenant_id)
    found = await entries_of(plane.customer, action="tenant.create")
    assert [entry["action"] for entry in found] == ["tenant.create"]
    assert await entries_of(plane.customer, to="2020-01-01") == []
    assert await entries_of(plane.customer, **{"from": "2020-01-01"})


@pytest.mark.parametrize(
    "params", [{"after": "x"}, {"after": "-1"}, {"from": "soon"}, {"colour": "red"}, {"limit": "0"}]
)
async def test_parameter_without_meaning_is_refused(
    plane: ControlPlane, params: dict[str, str]
) -> None:
    """A misspelt filter never shows more than was meant."""
    assert (await plane.customer.get("/v1/audit", **params)).status_code == 422


async def test_log_needs_its_scope(plane: ControlPlane) -> None:
    """A key for predictions reads nothing of it."""
    caller = await plane.caller(plane.customer.tenant_id, "predict")
    assert (await caller.get("/v1/audit")).status_code == 403
