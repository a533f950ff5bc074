"""The OAuth2 endpoints: who is told what, and what stops at once."""

import asyncio

import pytest

from auth.api_keys import mint
from auth.signing_keys import PUBLISH_AHEAD
from gateway.oauth_metadata import CACHE_SECONDS
from tests.unit.gateway.routes.control_plane import ControlPlane
from tests.unit.gateway.routes.oauth_client import (
    GRANT,
    basic,
    make_client,
    send,
    status_with,
)

STRANGER = {"client_id": "cli_0000000000000000"}


async def test_token_opens_what_its_client_may(plane: ControlPlane) -> None:
    """And nothing else."""
    client = await make_client(plane.customer, "models:read")
    answer = await client.ask("token", GRANT)
    assert answer.status_code == 200
    document = answer.json()
    assert document["token_type"] == "Bearer"
    assert (document["expires_in"], document["scope"]) == (300, "models:read")
    assert await status_with(plane.client, document["access_token"]) == 200
    headers = {"Authorization": f"Bearer {document['access_token']}"}
    refused = await plane.client.get("/v1/usage", headers=headers)
    assert refused.json()["code"] == "scope_missing"


async def test_token_has_the_scopes_that_were_asked_for(plane: ControlPlane) -> None:
    """No more, though the client has more."""
    client = await make_client(plane.customer, "models:read", "usage:read")
    narrow = await client.token(scope="usage:read")
    wide = await client.token()
    assert await status_with(plane.client, narrow) == 403
    assert await status_with(plane.client, wide) == 200


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "RS256"])
async def test_client_that_signs_gets_a_token(plane: ControlPlane, algorithm: str) -> None:
    """Once for each assertion."""
    client = await make_client(plane.customer, "models:read", algorithm=algorithm)
    proof = client.assertion()
    answer = await client.ask("token", GRANT, **proof)
    assert answer.status_code == 200, answer.text
    assert await status_with(plane.client, answer.json()["access_token"]) == 200
    again = await client.ask("token", GRANT, **proof)
    assert (again.status_code, again.json()["error"]) == (401, "invalid_client")


async def test_assertion_is_accepted_once_of_many_at_once(plane: ControlPlane) -> None:
    """Whoever comes first."""
    client = await make_client(plane.customer, algorithm="ES256")
    proof = client.assertion()
    answers = await asyncio.gather(*(client.ask("token", GRANT, **proof) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200, *[401] * 7]


async def test_refusals_of_a_client_are_alike(plane: ControlPlane) -> None:
    """Unknown, wrong, rotated, revoked, of another client, not even a secret: the same bytes."""
    client = await make_client(plane.customer)
    other = await make_client(plane.stranger)
    revoked = await make_client(plane.customer)
    path = f"/v1/tenants/{revoked.tenant_id}/clients"
    await plane.customer.call("DELETE", f"{path}/{revoked.client_id}")
    await plane.customer.post(f"{path}/{client.client_id}/rotate", {"overlap_seconds": 0})
    wrong = mint(kind="clnt", key_id=client.client_id.removeprefix("cli_")).text
    unknown = mint(kind="clnt")
    proofs = [
        basic(client.client_id, client.client_secret),
        basic(client.client_id, wrong),
        basic(client.client_id, other.client_secret),
        basic(f"cli_{unknown.key_id}", unknown.text),
        basic(revoked.client_id, revoked.client_secret),
        basic(plane.customer.key_id, plane.customer.api_key),
        basic("", ""),
        {"Authorization": "Basic ?"},
        {"Authorization": "Bearer " + plane.customer.api_key},
        {},
    ]
    answers = [await send(plane.client, "token", GRANT, **headers) for headers in proofs]
    assert {answer.status_code for answer in answers} == {401}
    assert len({str({**answer.json(), "request_id": ""}) for answer in answers}) == 1
    assert {answer.headers["www-authenticate"].partition(" ")[0] for answer in answers} == {"Basic"}


async def test_assertion_of_a_client_that_is_not_is_refused_alike(plane: ControlPlane) -> None:
    """As one with a wrong signature, or of a client that has a secret."""
    client = await make_client(plane.customer, algorithm="ES256")
    stranger = await make_client(plane.stranger, algorithm="ES256")
    with_secret = await make_client(plane.customer)
    forged = [
        stranger.assertion(client.claims()),
        stranger.assertion(stranger.claims(iss="cli_none", sub="cli_none")),
        stranger.assertion(stranger.claims(iss=with_secret.client_id, sub=with_secret.client_id)),
        client.assertion(kid="another"),
    ]
    answers = [await send(plane.client, "token", GRANT | proof) for proof in forged]
    assert {answer.status_code for answer in answers} == {401}
    assert len({str({**answer.json(), "request_id": ""}) for answer in answers}) == 1


async def test_suspended_tenant_gets_no_token(plane: ControlPlane) -> None:
    """And its client is told so, once it has proved itself."""
    client = await make_client(plane.customer, "models:read")
    token = await client.token()
    path = f"/v1/tenants/{plane.customer.tenant_id}"
    await plane.admin.call("PATCH", path, json={"status": "suspended"})
    answer = await client.ask("token", GRANT)
    assert (answer.status_code, answer.json()["error"]) == (400, "unauthorized_client")
    assert await status_with(plane.client, token) == 403


async def test_revoked_client_takes_its_tokens_along(plane: ControlPlane) -> None:
    """From the next request on."""
    client = await make_client(plane.customer, "models:read")
    token = await client.token()
    path = f"/v1/tenants/{client.tenant_id}/clients/{client.client_id}"
    assert (await plane.customer.call("DELETE", path)).status_code == 204
    assert await status_with(plane.client, token) == 401


async def test_revoked_token_is_refused_from_the_next_request_on(plane: ControlPlane) -> None:
    """Others of the client go on; revoking again is the same."""
    client = await make_client(plane.customer, "models:read")
    token, other = await client.token(), await client.token()
    for _ in range(2):
        answer = await client.ask("revoke", {"token": token})
        assert (answer.status_code, answer.content) == (200, b"")
        assert await status_with(plane.client, token) == 401
    assert await status_with(plane.client, other) == 200


async def test_only_own_tokens_are_revoked(plane: ControlPlane) -> None:
    """Another client's token, of this tenant or of another, gets the answer of no token at all."""
    client = await make_client(plane.customer, "models:read")
    others = [await make_client(owner, "models:read") for owner in (plane.customer, plane.stranger)]
    for other in others:
        token = await other.token()
        for named in (token, "none"):
            answer = await client.ask("revoke", {"token": named, "token_type_hint": "?"})
            assert (answer.status_code, answer.content) == (200, b"")
        assert await status_with(plane.client, token) == 200


async def test_token_is_told_to_its_tenant_and_to_the_platform(plane: ControlPlane) -> None:
    """Everybody else learns that it is not active, as of any text."""
    client = await make_client(plane.customer, "models:read", "usage:read")
    colleague = await make_client(plane.customer)
    platform = await make_client(plane.admin, "usage:read:all")
    stranger = await make_client(plane.stranger)
    token = await client.token(scope="models:read")
    for asker in (client, colleague, platform):
        told = (await asker.ask("introspect", {"token": token})).json()
        assert told["active"] is True
        assert (told["client_id"], told["sub"]) == (client.client_id, client.client_id)
        assert (told["tenant_id"], told["scope"]) == (client.tenant_id, "models:read")
        assert told["exp"] - told["iat"] == 300
    for named in (token, "none", client.client_secret, plane.stranger.api_key):
        answer = await stranger.ask("introspect", {"token": named})
        assert (answer.status_code, answer.json()) == (200, {"active": False})


async def test_token_that_is_revoked_is_not_active(plane: ControlPlane) -> None:
    """Nor is one of a client that is."""
    client, other = await make_client(plane.customer), await make_client(plane.customer)
    token = await client.token()
    await client.ask("revoke", {"token": token})
    assert (await other.ask("introspect", {"token": token})).json() == {"active": False}
    path = f"/v1/tenants/{client.tenant_id}/clients/{client.client_id}"
    second = await client.token()
    await plane.customer.call("DELETE", path)
    assert (await other.ask("introspect", {"token": second})).json() == {"active": False}


@pytest.mark.parametrize("endpoint", ["token", "revoke", "introspect"])
async def test_no_endpoint_serves_a_stranger(plane: ControlPlane, endpoint: str) -> None:
    """Nor tells him more than that."""
    form = {"token": "x", **GRANT, **STRANGER, "client_secret": "wrong"}
    answer = await send(plane.client, endpoint, form)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize("endpoint", ["revoke", "introspect"])
async def test_token_must_be_named(plane: ControlPlane, endpoint: str) -> None:
    """By the client that asks about it."""
    client = await make_client(plane.customer)
    answer = await client.ask(endpoint, {"token": ""})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_copies_of_the_key_set_know_the_key_that_signs(plane: ControlPlane) -> None:
    """They are kept for less than a key is published ahead."""
    answer = await plane.client.get("/.well-known/jwks.json")
    assert answer.headers["cache-control"] == f"public, max-age={CACHE_SECONDS}"
    assert PUBLISH_AHEAD.total_seconds() > CACHE_SECONDS


async def test_failures_in_a_clients_name_do_not_shut_it_out(plane: ControlPlane) -> None:
    """The guesser gets 429 in the end, the client its token all the same."""
    client = await make_client(plane.customer)
    limit = plane.services.settings.failed_attempts_per_minute
    guess = {"client_id": client.client_id, "client_secret": "wrong"}
    answers = [await send(plane.client, "token", GRANT | guess) for _ in range(limit + 1)]
    assert [answer.status_code for answer in answers] == [*[401] * limit, 429]
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert (await client.ask("token", GRANT)).status_code == 200


async def test_client_gets_no_token_outside_its_networks(plane: ControlPlane) -> None:
    """It proved who it is, so it is told what is wrong."""
    inside = await make_client(plane.customer, networks=["127.0.0.0/8"])
    outside = await make_client(plane.customer, networks=["192.0.2.0/24"])
    answer = await outside.ask("token", GRANT)
    assert (answer.status_code, answer.json()["error"]) == (400, "unauthorized_client")
    assert (await inside.ask("token", GRANT)).status_code == 200
