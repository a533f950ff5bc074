"""A leaked secret is dead as soon as it is reported, and the answer tells nothing."""

import pytest

from auth.api_keys import mint
from tests.actors import TESTER
from tests.unit.gateway.routes.control_plane import Caller, ControlPlane

PATH = "/v1/keys:report-leak"


async def report(plane: ControlPlane, secret: str) -> int:
    """Report a secret without any credential and return the status."""
    answer = await plane.client.post(PATH, json={"api_key": secret})
    assert answer.content == b""
    return answer.status_code


async def is_accepted(caller: Caller) -> bool:
    """Tell whether a key still opens anything."""
    return (await caller.get("/v1/models")).status_code == 200


async def test_reported_key_is_dead_at_once(plane: ControlPlane) -> None:
    """Whoever holds it."""
    assert await is_accepted(plane.customer)
    assert await report(plane, plane.customer.api_key) == 204
    assert not await is_accepted(plane.customer)
    assert await is_accepted(plane.stranger)


async def test_report_is_in_the_audit_log_of_the_tenant(plane: ControlPlane) -> None:
    """In nobody's name, with the request."""
    answer = await plane.client.post(PATH, json={"api_key": plane.customer.api_key})
    log = await plane.admin.get("/v1/audit", target=plane.customer.key_id, action="key.revoke")
    [entry] = log.json()["data"]
    assert entry["principal"] == {"kind": "anonymous", "id": None, "tenant_id": None}
    assert entry["request_id"] == answer.headers["x-request-id"]
    assert plane.customer.api_key not in log.text


async def test_key_of_a_suspended_tenant_is_revoked_too(plane: ControlPlane) -> None:
    """It would work again one day."""
    tenant_id = plane.customer.tenant_id
    await plane.services.store.update_tenant(tenant_id, actor=TESTER, status="suspended")
    assert await report(plane, plane.customer.api_key) == 204
    key = await plane.services.store.get_key(tenant_id, plane.customer.key_id)
    assert key.revoked_at is not None


async def test_reported_client_secret_is_dead_at_once(plane: ControlPlane) -> None:
    """With its client."""
    tenant_id = plane.customer.tenant_id
    store = plane.services.store
    issued = await store.create_client(tenant_id, actor=TESTER, name="c", scopes=["predict"])
    assert issued.client_secret is not None
    assert await report(plane, issued.client_secret) == 204
    found = await store.get_client(tenant_id, issued.client.client_id)
    assert found.revoked_at is not None


@pytest.mark.parametrize("kind", ["live", "test", "sess", "clnt", "boot"])
async def test_secret_that_was_never_made_gets_the_same_answer(
    plane: ControlPlane, kind: str
) -> None:
    """And so does one reported twice, and what is no secret at all."""
    assert await report(plane, mint(kind=kind).text) == 204  # type: ignore[arg-type]
    assert await report(plane, plane.customer.api_key) == 204
    assert await report(plane, plane.customer.api_key) == 204
    assert await report(plane, "hello") == 204


async def test_wrong_secret_of_a_real_key_revokes_nothing(plane: ControlPlane) -> None:
    """Knowing the public half is not enough to switch anybody off."""
    forged = mint(kind="live", key_id=plane.customer.key_id).text
    assert await report(plane, forged) == 204
    assert await is_accepted(plane.customer)


@pytest.mark.parametrize("body", [{}, {"api_key": 5}, {"api_key": "x" * 257}, {"x": "y"}])
async def test_report_of_another_form_is_refused_unquoted(
    plane: ControlPlane, body: dict[str, object]
) -> None:
    """Whatever it holds."""
    answer = await plane.client.post(PATH, json=body)
    assert answer.status_code == 422
    assert "x" * 9 not in answer.text
