"""Plans and tenants over HTTP, as an admin's script uses them."""

import pytest

from tests.unit.gateway.routes.control_plane import ControlPlane

PLAN = {
    "name": "starter",
    "requests_per_second": 50.0,
    "burst": 100,
    "units_per_month": 100_000,
    "max_in_flight": 16,
    "weight": 4,
}


async def test_plan_is_created_and_read_back(plane: ControlPlane) -> None:
    """201 with an id, then the same plan under it."""
    created = await plane.admin.post("/v1/plans", PLAN)
    assert created.status_code == 201
    plan = created.json()
    assert {name: plan[name] for name in PLAN} == PLAN
    assert (await plane.admin.get(f"/v1/plans/{plan['plan_id']}")).json() == plan


async def test_list_is_read_page_by_page(plane: ControlPlane) -> None:
    """Following `next` shows every plan once, in a stable order."""
    created = {(await plane.admin.post("/v1/plans", PLAN)).json()["plan_id"] for _ in range(4)}
    seen: list[str] = []
    params: dict[str, str | int] = {"limit": 2}
    while True:
        page = (await plane.admin.get("/v1/plans", **params)).json()
        seen += [plan["plan_id"] for plan in page["data"]]
        if page["next"] is None:
            break
        params["after"] = page["next"]
    assert len(seen) == len(set(seen)) == 5
    assert created < set(seen)
    assert seen == sorted(seen)


@pytest.mark.parametrize("params", [{"limit": 0}, {"limit": 1000}, {"limit": "x"}, {"after": "'"}])
async def test_page_that_has_no_meaning_is_refused(
    plane: ControlPlane, params: dict[str, str | int]
) -> None:
    """A cursor or a length that we did not hand out is a 422."""
    assert (await plane.admin.get("/v1/plans", **params)).status_code == 422


async def test_tenant_is_created_and_changed(plane: ControlPlane) -> None:
    """A change touches what it names and nothing else."""
    plan_id = (await plane.admin.post("/v1/plans", PLAN)).json()["plan_id"]
    wish = {"name": "Acme", "plan_id": plan_id, "models": ["double"]}
    created = await plane.admin.post("/v1/tenants", wish)
    assert created.status_code == 201
    tenant = created.json()
    assert tenant["status"] == "active"
    path = f"/v1/tenants/{tenant['tenant_id']}"
    changed = await plane.admin.call("PATCH", path, json={"models": ["*"]})
    assert changed.json() == {**tenant, "models": ["*"]}
    assert (await plane.admin.get(path)).json() == changed.json()


async def test_tenant_on_an_unknown_plan_is_refused(plane: ControlPlane) -> None:
    """There is nothing to sell."""
    wish = {"name": "Acme", "plan_id": "plan_0000000000000000", "models": ["*"]}
    assert (await plane.admin.post("/v1/tenants", wish)).status_code == 404


async def test_suspended_tenant_is_refused_from_the_next_request_on(plane: ControlPlane) -> None:
    """Suspending needs no restart; reactivating neither."""
    path = f"/v1/tenants/{plane.customer.tenant_id}"
    await plane.admin.call("PATCH", path, json={"status": "suspended"})
    refused = await plane.customer.get("/v1/models")
    assert (refused.status_code, refused.json()["code"]) == (403, "tenant_suspended")
    await plane.admin.call("PATCH", path, json={"status": "active"})
    assert (await plane.customer.get("/v1/models")).status_code == 200


async def test_tenants_are_listed(plane: ControlPlane) -> None:
    """The platform sees every tenant."""
    page = (await plane.admin.get("/v1/tenants")).json()
    found = {tenant["tenant_id"] for tenant in page["data"]}
    assert {plane.customer.tenant_id, plane.stranger.tenant_id} <= found


async def test_body_over_the_cap_is_refused(plane: ControlPlane) -> None:
    """Nobody sends megabytes to create a plan."""
    body = b'{"name": "' + b"x" * 70_000 + b'"}'
    answer = await plane.admin.call("POST", "/v1/plans", content=body)
    assert answer.status_code == 413


async def test_broken_body_is_a_problem_without_echo(plane: ControlPlane) -> None:
    """The answer names the place and never repeats the input."""
    body = {"name": "x", "burst": "canary-value", "canary-member": 1}
    answer = await plane.admin.post("/v1/plans", body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert "canary" not in answer.text
    assert {item["location"] for item in answer.json()["errors"]} == {"body", "body.burst"}


@pytest.mark.parametrize("path", ["/v1/models/", "/v1/plans/", "/v1/usage/", "/healthz/live/"])
async def test_path_with_a_slash_too_many_is_not_found(plane: ControlPlane, path: str) -> None:
    """A redirect would send the key a second time, to wherever it points."""
    answer = await plane.admin.get(path)
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


@pytest.mark.parametrize(
    "path", ["/v1/plans", "/v1/tenants", "/v1/tenants/platform/keys", "/v1/models"]
)
async def test_list_refuses_parameters_that_it_does_not_know(
    plane: ControlPlane, path: str
) -> None:
    """A misspelt `after` would read the first page for ever."""
    for name in ("aftr", "page", "offset"):
        refused = await plane.admin.get(path, **{name: "secret"})
        assert refused.status_code == 422
        assert refused.json()["detail"] == "query: parameter 1 is not known here"
        assert "secret" not in refused.text
