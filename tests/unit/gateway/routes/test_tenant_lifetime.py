"""A tenant reads where it stands, and is deleted for good while its bill stays."""

import pytest

from auth.scopes import USAGE_READ
from auth.tenants import PLATFORM_TENANT_ID
from tests.unit.gateway.routes.control_plane import Caller, ControlPlane

# The store's own tests run on both databases.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
PREDICT = "/v1/models/double:predict"
THREE_ROWS = {"instances": [{"amount": 1.0}, {"amount": 2.0}, {"amount": 3.0}]}


def _limits(caller: Caller) -> str:
    return f"/v1/tenants/{caller.tenant_id}/limits"


async def test_tenant_reads_its_limits_and_what_is_left(plane: ControlPlane) -> None:
    """The month is told as the headers of a prediction tell it."""
    plan = {"name": "p", "requests_per_second": 5.0, "units_per_month": 10, "max_in_flight": 4}
    plan_id = (await plane.admin.post("/v1/plans", plan)).json()["plan_id"]
    path = f"/v1/tenants/{plane.customer.tenant_id}"
    await plane.admin.call("PATCH", path, json={"plan_id": plan_id})
    predicted = await plane.customer.post(PREDICT, THREE_ROWS)
    standing = (await plane.customer.get(_limits(plane.customer))).json()
    assert standing["requests_per_second"] == 5.0
    assert (standing["burst"], standing["max_in_flight"]) == (5, 4)
    month = standing["month"]
    assert (month["quota"], month["used"], month["remaining"]) == (10, 3, 7)
    told = dict(part.split("=") for part in predicted.headers["ratelimit"].split(";")[-2:])
    assert month["remaining"] == int(told["r"])
    assert 0 <= int(told["t"]) - month["reset_seconds"] < 60
    assert (await plane.admin.get(_limits(plane.customer))).json()["month"]["used"] == 3


async def test_limit_that_is_none_is_null(plane: ControlPlane) -> None:
    """Without a quota nothing is left to tell, and the use is."""
    await plane.customer.post(PREDICT, THREE_ROWS)
    month = (await plane.customer.get(_limits(plane.customer))).json()["month"]
    assert (month["quota"], month["used"], month["remaining"]) == (None, 3, None)


async def test_limits_of_others_are_for_those_who_read_all_usage(plane: ControlPlane) -> None:
    """A stranger is told nothing, and a platform key needs the scope."""
    assert (await plane.stranger.get(_limits(plane.customer))).status_code == 404
    narrow = await plane.caller(PLATFORM_TENANT_ID, USAGE_READ)
    assert (await narrow.get(_limits(narrow))).status_code == 200
    refused = await narrow.get(_limits(plane.customer))
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")


async def test_deleted_tenants_credentials_are_unknown_at_once(plane: ControlPlane) -> None:
    """Byte for byte the answer to a key that never was."""
    path = f"/v1/tenants/{plane.customer.tenant_id}"
    assert (await plane.admin.call("DELETE", path)).status_code == 204
    unknown = {"Authorization": "Bearer " + "x" * 63}
    for method, target in (("GET", "/v1/models"), ("POST", PREDICT)):
        answer = await plane.customer.call(method, target, json=THREE_ROWS)
        never = await plane.client.request(method, target, headers=unknown, json=THREE_ROWS)
        assert answer.status_code == 401
        assert answer.json() | {"request_id": ""} == never.json() | {"request_id": ""}


async def test_platform_tells_suspended_from_deleted(plane: ControlPlane) -> None:
    """The tombstone says when, and deleting it again changes nothing."""
    path = f"/v1/tenants/{plane.customer.tenant_id}"
    await plane.admin.call("PATCH", path, json={"status": "suspended"})
    assert (await plane.admin.get(path)).json()["status"] == "suspended"
    await plane.admin.call("DELETE", path)
    tombstone = (await plane.admin.get(path)).json()
    assert tombstone["status"] == "deleted"
    assert tombstone["deleted_at"] is not None
    assert (await plane.admin.call("DELETE", path)).status_code == 204
    assert (await plane.admin.get(path)).json() == tombstone


async def test_deletion_keeps_the_bill(plane: ControlPlane) -> None:
    """What was served before is still reported, by the tenant's id."""
    await plane.customer.post(PREDICT, THREE_ROWS)
    tenant_id = plane.customer.tenant_id
    await plane.admin.call("DELETE", f"/v1/tenants/{tenant_id}")
    report = (await plane.admin.get("/v1/usage", tenant_id=tenant_id)).json()
    assert [line["units"] for line in report["data"]] == [3]
    everybody = (await plane.admin.get("/v1/usage", group_by="tenant")).json()
    assert [line["tenant"] for line in everybody["data"]] == [tenant_id]


async def test_nothing_can_be_done_with_a_deleted_tenant(plane: ControlPlane) -> None:
    """It is not found, and cannot be brought back."""
    path = f"/v1/tenants/{plane.customer.tenant_id}"
    key = f"{path}/keys/{plane.customer.key_id}"
    await plane.admin.call("DELETE", path)
    answers = [
        await plane.admin.call("PATCH", path, json={"status": "active"}),
        await plane.admin.post(f"{path}/keys", {"name": "x", "scopes": ["predict"]}),
        await plane.admin.get(f"{path}/keys"),
        await plane.admin.get(f"{path}/limits"),
        await plane.admin.get(key),
        await plane.admin.post(f"{key}/rotate", {}),
        await plane.admin.call("DELETE", key),
    ]
    assert [answer.status_code for answer in answers] == [404] * len(answers)


async def test_platform_cannot_be_deleted(plane: ControlPlane) -> None:
    """Nobody locks everybody out with one request."""
    answer = await plane.admin.call("DELETE", f"/v1/tenants/{PLATFORM_TENANT_ID}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert (await plane.admin.get("/v1/tenants")).status_code == 200


async def test_tenant_deletes_neither_itself_nor_another(plane: ControlPlane) -> None:
    """That is the platform's to do."""
    for target in (plane.customer, plane.stranger):
        answer = await plane.customer.call("DELETE", f"/v1/tenants/{target.tenant_id}")
        assert answer.status_code == 403
