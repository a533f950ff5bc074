"""The bill over HTTP: exact, at once, and about nobody else."""

from datetime import UTC, datetime, timedelta

import pytest

from auth.scopes import PREDICT, USAGE_READ
from tests.unit.gateway.routes.control_plane import Caller, ControlPlane

ROW = {"amount": 1}


async def _predict(caller: Caller, *, rows: int, model: str = "double") -> None:
    answer = await caller.post(f"/v1/models/{model}:predict", {"instances": [ROW] * rows})
    assert answer.status_code == 200, answer.text


async def test_bill_counts_what_was_just_served(plane: ControlPlane) -> None:
    """No waiting: the server delivers before it answers."""
    await _predict(plane.customer, rows=3)
    await _predict(plane.customer, rows=4)
    report = (await plane.customer.get("/v1/usage")).json()
    [line] = report["data"]
    assert (line["requests"], line["rows"], line["units"]) == (2, 7, 7)
    assert report["complete_through"].endswith("Z")
    today = datetime.now(UTC).date()
    assert line["start"] == f"{today}T00:00:00Z"
    assert line["end"] == f"{today + timedelta(days=1)}T00:00:00Z"


async def test_bill_is_grouped_in_a_stable_order(plane: ControlPlane) -> None:
    """Group keys stand under their names, rows are sorted by them."""
    await _predict(plane.customer, rows=1, model="secret-sauce")
    await _predict(plane.customer, rows=2)
    report = await plane.customer.get("/v1/usage", group_by="model,key", bucket="month")
    lines = [(line["model"], line["key"], line["rows"]) for line in report.json()["data"]]
    key_id = plane.customer.key_id
    assert lines == [("double", key_id, 2), ("secret-sauce", key_id, 1)]


async def test_tenant_sees_its_own_usage_only(plane: ControlPlane) -> None:
    """What others use is not in the report, and not in its sums."""
    await _predict(plane.customer, rows=3)
    report = (await plane.stranger.get("/v1/usage", tenant_id=plane.stranger.tenant_id)).json()
    assert report["data"] == []


async def test_other_tenants_usage_is_as_if_it_were_not(plane: ControlPlane) -> None:
    """A real tenant and one that never was get the same answer."""
    answers = [
        await plane.stranger.get("/v1/usage", tenant_id=tenant_id)
        for tenant_id in (plane.customer.tenant_id, "ten_0000000000000000")
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert {answer.json()["detail"] for answer in answers} == {answers[0].json()["detail"]}


async def test_tenant_cannot_group_by_tenant(plane: ControlPlane) -> None:
    """That is for scripts that bill everybody."""
    assert (await plane.customer.get("/v1/usage", group_by="tenant")).status_code == 403


async def test_billing_sees_everybody(plane: ControlPlane) -> None:
    """All tenants, each under its id, or one of them."""
    await _predict(plane.customer, rows=3)
    await _predict(plane.stranger, rows=5)
    report = (await plane.admin.get("/v1/usage", group_by="tenant")).json()
    rows = {line["tenant"]: line["rows"] for line in report["data"]}
    assert rows == {plane.customer.tenant_id: 3, plane.stranger.tenant_id: 5}
    one = (await plane.admin.get("/v1/usage", tenant_id=plane.stranger.tenant_id)).json()
    assert [line["rows"] for line in one["data"]] == [5]


async def test_test_keys_are_not_on_the_bill(plane: ControlPlane) -> None:
    """Trying things out is free."""
    caller = await plane.caller(plane.customer.tenant_id, PREDICT, USAGE_READ, is_test=True)
    await _predict(caller, rows=3)
    assert (await caller.get("/v1/usage")).json()["data"] == []


@pytest.mark.parametrize(
    "params",
    [
        {"from": "yesterday"},
        {"from": "2026-11-02", "to": "2026-11-02"},
        {"from": "2026-11-02", "to": "2026-11-01"},
        {"from": "2026-11-01T00:00:00"},
        {"bucket": "year"},
        {"group_by": "colour"},
        {"from": "0001-01-01", "to": "9999-01-01", "bucket": "hour"},
    ],
)
async def test_wish_without_meaning_is_refused(
    plane: ControlPlane, params: dict[str, str | int]
) -> None:
    """422, and never an empty report that looks like no usage."""
    assert (await plane.customer.get("/v1/usage", **params)).status_code == 422


@pytest.mark.parametrize("name", ["frm", "From", "form", "tenant", "limit", "from[]"])
async def test_parameter_that_is_not_known_is_refused(plane: ControlPlane, name: str) -> None:
    """A misspelt `from` would bill the current month; its place is told, its text is not."""
    query = {"bucket": "day", name: "2026-11-01"}
    refused = await plane.admin.get("/v1/usage", **query)
    assert refused.status_code == 422
    assert refused.json()["errors"] == [
        {"location": "query", "message": "parameter 2 is not known here"}
    ]
    assert "2026-11-01" not in refused.text


async def test_misspelt_parameter_tells_strangers_nothing(plane: ControlPlane) -> None:
    """Who calls is looked at first."""
    assert (await plane.client.get("/v1/usage", params={"frm": "x"})).status_code == 401
