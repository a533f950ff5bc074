"""Keys over HTTP: shown once, rotated with overlap, revoked at once, worth no more than granted."""

import pytest

from auth.scopes import KEYS_WRITE, PREDICT
from auth.tenants import PLATFORM_TENANT_ID
from tests.unit.gateway.routes.control_plane import Caller, ControlPlane

NEW_KEY = {"name": "production", "scopes": ["predict", "models:read"]}


def _keys(caller: Caller) -> str:
    return f"/v1/tenants/{caller.tenant_id}/keys"


async def _status_with(plane: ControlPlane, api_key: str) -> int:
    headers = {"X-API-Key": api_key}
    return (await plane.client.get("/v1/models", headers=headers)).status_code


async def test_key_is_shown_once_and_works(plane: ControlPlane) -> None:
    """The answer that creates it is the only one with the secret."""
    created = await plane.customer.post(_keys(plane.customer), NEW_KEY)
    assert created.status_code == 201
    key = created.json()
    secret = key.pop("api_key")
    assert await _status_with(plane, secret) == 200
    read = (await plane.customer.get(f"{_keys(plane.customer)}/{key['key_id']}")).json()
    assert {**read, "last_used_at": None} == key
    listed = await plane.customer.get(_keys(plane.customer))
    assert key["key_id"] in {item["key_id"] for item in listed.json()["data"]}
    assert secret not in listed.text


async def test_key_has_the_limits_and_the_end_it_was_given(plane: ControlPlane) -> None:
    """All members of a new key come back as they were sent."""
    wish = {
        **NEW_KEY,
        "expires_at": "2999-01-01T02:00:00+02:00",
        "test": True,
        "limits": {"requests_per_second": 5.5, "burst": 7},
    }
    refused = await plane.customer.post(_keys(plane.customer), wish)
    key = (await plane.admin.post(_keys(plane.customer), wish)).json()
    assert refused.json()["code"] == "test_key_not_grantable"
    assert key["expires_at"] == "2999-01-01T00:00:00Z"
    assert key["limits"] == wish["limits"]
    assert key["api_key"].startswith("tg_test_")


async def test_revoked_key_fails_from_the_next_request_on(plane: ControlPlane) -> None:
    """The answer to the revocation is the moment; revoking again is fine."""
    key = (await plane.customer.post(_keys(plane.customer), NEW_KEY)).json()
    path = f"{_keys(plane.customer)}/{key['key_id']}"
    for _ in range(2):
        assert (await plane.customer.call("DELETE", path)).status_code == 204
        assert await _status_with(plane, key["api_key"]) == 401
    assert (await plane.customer.get(path)).json()["revoked_at"] is not None


@pytest.mark.parametrize(("overlap_seconds", "status"), [(0, 401), (3600, 200)])
async def test_rotated_key_keeps_its_old_secret_for_the_overlap(
    plane: ControlPlane, overlap_seconds: int, status: int
) -> None:
    """The new secret works at once, the old one only within the overlap."""
    key = (await plane.customer.post(_keys(plane.customer), NEW_KEY)).json()
    path = f"{_keys(plane.customer)}/{key['key_id']}/rotate"
    rotated = await plane.customer.post(path, {"overlap_seconds": overlap_seconds})
    assert rotated.status_code == 201
    assert rotated.json()["key_id"] == key["key_id"]
    assert await _status_with(plane, rotated.json()["api_key"]) == 200
    assert await _status_with(plane, key["api_key"]) == status


async def test_caller_cannot_grant_what_it_does_not_hold(plane: ControlPlane) -> None:
    """A key that may only issue keys issues none that may predict."""
    issuer = await plane.caller(plane.customer.tenant_id, KEYS_WRITE)
    answer = await issuer.post(_keys(issuer), NEW_KEY)
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_not_grantable")


async def test_caller_cannot_rotate_a_key_that_holds_more(plane: ControlPlane) -> None:
    """The new secret would be worth more than the caller's own."""
    issuer = await plane.caller(plane.customer.tenant_id, KEYS_WRITE)
    path = f"{_keys(plane.customer)}/{plane.customer.key_id}/rotate"
    assert (await issuer.post(path, {"overlap_seconds": 0})).status_code == 403
    assert (await plane.customer.get("/v1/models")).status_code == 200


async def test_platform_key_that_issues_keys_does_not_become_an_admin(
    plane: ControlPlane,
) -> None:
    """Neither by a new key nor by rotating an admin's."""
    issuer = await plane.caller(PLATFORM_TENANT_ID, KEYS_WRITE)
    wish = {"name": "x", "scopes": ["tenants:write"]}
    assert (await issuer.post(_keys(plane.admin), wish)).status_code == 403
    path = f"{_keys(plane.admin)}/{plane.admin.key_id}/rotate"
    assert (await issuer.post(path, {"overlap_seconds": 0})).status_code == 403


async def test_customers_key_never_holds_a_platform_scope(plane: ControlPlane) -> None:
    """Not even an admin can put one there."""
    wish = {"name": "x", "scopes": ["usage:read:all"]}
    assert (await plane.admin.post(_keys(plane.customer), wish)).status_code == 422


async def test_tenant_cannot_lift_its_own_limits(plane: ControlPlane) -> None:
    """An override above the plan is refused."""
    wish = {**NEW_KEY, "limits": {"requests_per_second": 1001}}
    assert (await plane.customer.post(_keys(plane.customer), wish)).status_code == 422


async def test_platform_issues_keys_for_a_tenant(plane: ControlPlane) -> None:
    """The admin makes a customer's first key."""
    key = (await plane.admin.post(_keys(plane.stranger), NEW_KEY)).json()
    assert key["tenant_id"] == plane.stranger.tenant_id
    assert await _status_with(plane, key["api_key"]) == 200


async def test_credential_in_the_url_is_refused(plane: ControlPlane) -> None:
    """Even a good one, in any parameter."""
    answer = await plane.customer.get("/v1/models", after=plane.customer.api_key)
    assert (answer.status_code, answer.json()["code"]) == (400, "credential_in_url")


async def test_two_credentials_are_refused(plane: ControlPlane) -> None:
    """Nobody can say who calls."""
    pairs = [("Authorization", f"Bearer {plane.customer.api_key}")] * 2
    answer = await plane.client.get("/v1/models", headers=pairs)
    assert (answer.status_code, answer.json()["code"]) == (400, "credential_ambiguous")


async def test_key_without_its_scope_left_is_still_read_only(plane: ControlPlane) -> None:
    """A key for predictions reads no keys."""
    caller = await plane.caller(plane.customer.tenant_id, PREDICT)
    assert (await caller.get(_keys(caller))).status_code == 403
