"""Keys that are bound to networks and models are worth nothing elsewhere, on both planes."""

from collections.abc import AsyncIterator

import pytest

from auth.bindings import Bindings
from gateway.settings import Settings
from tests.unit.gateway.routes.control_plane import ControlPlane
from tests.unit.gateway.routes.doors import DOORS, PREDICT, READ, Door, open_door

OFFICE = Bindings(networks=("192.0.2.0/24", "2001:db8::1/128"))
LIMIT = 2
KINDS = pytest.mark.parametrize("kind", ["keys", "clients"])

# What a key is bound to does not depend on the database.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
async def direct(settings: Settings) -> AsyncIterator[Door]:
    """A server that clients connect to themselves."""
    async with open_door(settings, failed_attempts_per_minute=LIMIT) as door:
        yield door


@pytest.fixture
async def proxied(settings: Settings) -> AsyncIterator[Door]:
    """A server behind our proxy, on a unix socket whose peers have no address."""
    async with open_door(settings, unix_socket=settings.data_dir / "socket") as door:
        yield door


@DOORS
async def test_bound_key_works_from_its_networks(direct: Door, door: tuple[str, str]) -> None:
    """IPv4 on an IPv6 socket is IPv4; of an IPv6 site the one address that is named."""
    key = await direct.good_key(OFFICE)
    for address in ("192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1", "2001:DB8:0::1%eth0"):
        assert await direct.statuses(1, door, peer=(address, 1), key=key) == [200], address


@DOORS
async def test_bound_key_is_refused_from_elsewhere(direct: Door, door: tuple[str, str]) -> None:
    """With a code of its own, and nothing about where it would work."""
    key = await direct.good_key(OFFICE)
    for address in ("198.51.100.7", "::ffff:198.51.100.7", "2001:db8::2", "::192.0.2.7", "?"):
        answer = await direct.ask(door, peer=(address, 1), key=key)
        assert (answer.status_code, answer.json()["code"]) == (403, "network_not_allowed")
        assert "192.0.2" not in answer.text


@DOORS
async def test_bound_key_is_refused_where_the_address_is_not_known(
    direct: Door, door: tuple[str, str]
) -> None:
    """Nobody slips through for want of an address."""
    key = await direct.good_key(Bindings(networks=("0.0.0.0/0", "::/0")))
    assert await direct.statuses(1, door, peer=None, key=key) == [403]


@DOORS
async def test_direct_client_cannot_choose_its_network(direct: Door, door: tuple[str, str]) -> None:
    """A forwarding header moves nobody into the office."""
    key = await direct.good_key(OFFICE)
    answer = await direct.ask(door, peer=("198.51.100.7", 1), forwarded="192.0.2.7", key=key)
    assert answer.status_code == 403


@DOORS
async def test_proxy_says_where_a_key_is_used(proxied: Door, door: tuple[str, str]) -> None:
    """Behind Nginx the address is the one that it saw, and one only."""
    key = await proxied.good_key(OFFICE)
    for forwarded, status in (
        ("192.0.2.7", 200),
        ("198.51.100.7", 403),
        ("192.0.2.7, 198.51.100.7", 403),
        ("", 403),
    ):
        answer = await proxied.ask(door, peer=None, forwarded=forwarded, key=key)
        assert answer.status_code == status, forwarded


@DOORS
async def test_good_key_from_elsewhere_is_no_failed_attempt(
    direct: Door, door: tuple[str, str]
) -> None:
    """The secret was right: nobody guesses, and nobody is shut out for it."""
    key = await direct.good_key(OFFICE)
    elsewhere = ("198.51.100.7", 1)
    assert await direct.statuses(LIMIT * 3, door, peer=elsewhere, key=key) == [403] * LIMIT * 3
    assert await direct.statuses(1, door, peer=elsewhere, key="garbage") == [401]


@DOORS
async def test_wrong_secret_of_a_bound_key_is_as_any_other(
    direct: Door, door: tuple[str, str]
) -> None:
    """Whether a key is bound shows to nobody who does not hold it."""
    key = await direct.good_key(OFFICE)
    forged = key[:30] + (await direct.good_key())[30:]
    elsewhere = ("198.51.100.7", 1)
    assert await direct.statuses(1, door, peer=elsewhere, key=forged) == [401]


async def test_key_bound_to_a_model_sees_no_other(direct: Door) -> None:
    """The others are as if they were not there."""
    key = await direct.good_key(Bindings(models=("double", "not-there")))
    assert (await direct.ask(READ, key=key)).json() == {"models": ["double"]}
    assert await direct.statuses(1, PREDICT, key=key) == [200]
    other = await direct.good_key(Bindings(models=("secret-sauce",)))
    assert await direct.statuses(1, PREDICT, key=other) == [404]
    unknown = await direct.ask(("POST", "/v1/models/nothing:predict"), key=other)
    assert unknown.json()["code"] == (await direct.ask(PREDICT, key=other)).json()["code"]


@KINDS
async def test_new_credential_shows_what_it_is_bound_to(plane: ControlPlane, kind: str) -> None:
    """In canonical form, when it is made and afterwards."""
    path = f"/v1/tenants/{plane.customer.tenant_id}/{kind}"
    wish = {"models": ["double"], "networks": ["::ffff:192.0.2.0/120", "2001:DB8::/32"]}
    made = await plane.customer.post(path, {"name": "k", "scopes": ["predict"], **wish})
    assert made.status_code == 201
    name = made.json()[f"{kind[:-1]}_id"]
    for shown in (made.json(), (await plane.customer.get(f"{path}/{name}")).json()):
        assert shown["models"] == ["double"]
        assert shown["networks"] == ["192.0.2.0/24", "2001:db8::/32"]


@pytest.mark.parametrize(
    "wish",
    [
        {"networks": ["192.0.2.1/24"]},
        {"networks": []},
        {"networks": ["192.0.2.0/24"] * 65},
        {"networks": "192.0.2.0/24"},
        {"models": ["*"]},
        {"models": []},
        {"models": ["a/b"]},
    ],
)
@KINDS
async def test_binding_without_a_meaning_is_refused(
    plane: ControlPlane, kind: str, wish: dict[str, object]
) -> None:
    """Nothing is guessed, and the value is not repeated."""
    path = f"/v1/tenants/{plane.customer.tenant_id}/{kind}"
    answer = await plane.customer.post(path, {"name": "k", "scopes": ["predict"], **wish})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert "192.0.2.1" not in answer.text


@KINDS
async def test_bound_key_makes_and_rotates_none_that_is_bound_less(
    plane: ControlPlane, kind: str
) -> None:
    """Who holds a bound key cannot get rid of the binding, whichever way."""
    keys = f"/v1/tenants/{plane.customer.tenant_id}/keys"
    path = f"/v1/tenants/{plane.customer.tenant_id}/{kind}"
    bound = {"models": ["double"], "networks": ["127.0.0.0/8"]}
    wish = {"name": "k", "scopes": ["keys:write", "predict"]}
    holder = (await plane.customer.post(keys, wish | bound)).json()
    headers = {"Authorization": f"Bearer {holder['api_key']}"}
    client = plane.client
    loose = [{}, {"models": ["double"]}, {"networks": ["127.0.0.0/8"]}, bound | {"models": ["x"]}]
    for looser in loose:
        answer = await client.post(path, headers=headers, json=wish | looser)
        assert answer.json()["code"] == "binding_not_grantable", looser
    unbound = (await plane.customer.post(path, wish)).json()
    rotate = f"{path}/{unbound[f'{kind[:-1]}_id']}/rotate"
    answer = await client.post(rotate, headers=headers, json={})
    assert answer.json()["code"] == "binding_not_grantable"
    tighter = bound | {"networks": ["127.0.0.1/32"]}
    assert (await client.post(path, headers=headers, json=wish | tighter)).status_code == 201
    own = f"{keys}/{holder['key_id']}/rotate"
    assert (await client.post(own, headers=headers, json={})).status_code == 201


async def test_bound_admin_key_makes_no_admin(plane: ControlPlane) -> None:
    """An admin logs in from anywhere, so whoever is bound to a network cannot make one."""
    path = f"/v1/tenants/{plane.admin.tenant_id}/keys"
    wish = {"name": "k", "scopes": ["tenants:write"], "networks": ["127.0.0.0/8"]}
    bound = (await plane.admin.post(path, wish)).json()
    headers = {"Authorization": f"Bearer {bound['api_key']}"}
    body = {"username": "eve", "password": "long enough to be one", "scopes": ["tenants:write"]}
    answer = await plane.client.post("/v1/admins", headers=headers, json=body)
    assert (answer.status_code, answer.json()["code"]) == (403, "binding_not_grantable")
