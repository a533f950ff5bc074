"""OAuth2 clients over HTTP: the secret shown once, worth no more than granted, gone at once."""

import pytest

from auth.scopes import KEYS_WRITE
from auth.tenants import PLATFORM_TENANT_ID
from tests.unit.auth.jwks import make_pair
from tests.unit.gateway.routes.control_plane import Caller, ControlPlane

NEW_CLIENT = {"name": "nightly", "scopes": ["predict", "models:read"]}
FIRST, SECOND = make_pair(), make_pair()


def _clients(caller: Caller) -> str:
    return f"/v1/tenants/{caller.tenant_id}/clients"


async def test_secret_is_shown_once(plane: ControlPlane) -> None:
    """The answer that makes the client is the only one with it."""
    created = await plane.customer.post(_clients(plane.customer), NEW_CLIENT)
    assert created.status_code == 201
    client = created.json()
    secret = client.pop("client_secret")
    assert secret.startswith("tg_clnt_" + client["client_id"].removeprefix("cli_"))
    read = await plane.customer.get(f"{_clients(plane.customer)}/{client['client_id']}")
    listed = await plane.customer.get(_clients(plane.customer))
    assert read.json() == client == listed.json()["data"][0]
    assert secret not in read.text + listed.text


async def test_client_has_the_limits_and_the_end_it_was_given(plane: ControlPlane) -> None:
    """All members of a new client come back as they were sent."""
    wish = {
        **NEW_CLIENT,
        "expires_at": "2999-01-01T02:00:00+02:00",
        "limits": {"requests_per_second": 5.5, "burst": 7},
    }
    client = (await plane.customer.post(_clients(plane.customer), wish)).json()
    assert client["expires_at"] == "2999-01-01T00:00:00Z"
    assert client["limits"] == wish["limits"]
    assert (client["authentication"], client["key_ids"]) == ("client_secret", [])


async def test_client_that_signs_is_told_the_names_of_its_keys(plane: ControlPlane) -> None:
    """It has no secret; a rotation brings new keys, the old ones go on for the overlap."""
    wish = {**NEW_CLIENT, "jwks": FIRST.jwks(kid="first")}
    client = (await plane.customer.post(_clients(plane.customer), wish)).json()
    assert (client["authentication"], client["client_secret"]) == ("private_key_jwt", None)
    assert client["key_ids"] == ["first"]
    path = f"{_clients(plane.customer)}/{client['client_id']}/rotate"
    change = {"overlap_seconds": 60, "jwks": SECOND.jwks(kid="second")}
    rotated = await plane.customer.post(path, change)
    assert rotated.status_code == 201
    assert rotated.json()["key_ids"] == ["first", "second"]
    assert rotated.json()["client_secret"] is None


@pytest.mark.parametrize(
    "jwks", [{}, {"keys": []}, {"keys": [{"kty": "oct"}]}, FIRST.jwks(d="AAAA")]
)
async def test_unusable_keys_are_refused(plane: ControlPlane, jwks: object) -> None:
    """Without a word of them in the answer."""
    refused = await plane.customer.post(_clients(plane.customer), {**NEW_CLIENT, "jwks": jwks})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert "AAAA" not in refused.text


async def test_rotated_client_has_another_secret(plane: ControlPlane) -> None:
    """Under the same id."""
    client = (await plane.customer.post(_clients(plane.customer), NEW_CLIENT)).json()
    path = f"{_clients(plane.customer)}/{client['client_id']}/rotate"
    rotated = (await plane.customer.post(path, {"overlap_seconds": 0})).json()
    assert rotated["client_id"] == client["client_id"]
    assert rotated["client_secret"] != client["client_secret"]


async def test_client_is_revoked_for_good(plane: ControlPlane) -> None:
    """Revoking again is fine; rotating is not."""
    client = (await plane.customer.post(_clients(plane.customer), NEW_CLIENT)).json()
    path = f"{_clients(plane.customer)}/{client['client_id']}"
    for _ in range(2):
        assert (await plane.customer.call("DELETE", path)).status_code == 204
    assert (await plane.customer.get(path)).json()["revoked_at"] is not None
    assert (await plane.customer.post(f"{path}/rotate", {})).status_code == 409


async def test_caller_cannot_grant_what_it_does_not_hold(plane: ControlPlane) -> None:
    """Neither to a new client nor by the new secret of one that holds more."""
    issuer = await plane.caller(plane.customer.tenant_id, KEYS_WRITE)
    made = (await plane.customer.post(_clients(plane.customer), NEW_CLIENT)).json()
    answers = [
        await issuer.post(_clients(issuer), NEW_CLIENT),
        await issuer.post(f"{_clients(issuer)}/{made['client_id']}/rotate", {}),
    ]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert {answer.json()["code"] for answer in answers} == {"scope_not_grantable"}


async def test_client_of_the_platform_holds_what_its_maker_does(plane: ControlPlane) -> None:
    """An admin makes one for billing; a key that only issues keys does not."""
    issuer = await plane.caller(PLATFORM_TENANT_ID, KEYS_WRITE)
    wish = {"name": "billing", "scopes": ["usage:read:all"]}
    assert (await issuer.post(_clients(plane.admin), wish)).status_code == 403
    assert (await plane.admin.post(_clients(plane.admin), wish)).status_code == 201
    assert (await plane.admin.post(_clients(plane.customer), wish)).status_code == 422


async def test_secret_of_a_client_opens_no_operation(plane: ControlPlane) -> None:
    """It is for the token endpoint alone."""
    client = (await plane.customer.post(_clients(plane.customer), NEW_CLIENT)).json()
    headers = {"X-API-Key": client["client_secret"]}
    assert (await plane.client.get("/v1/models", headers=headers)).status_code == 401
