"""Who shows no good credential is limited per address, on both doors of the real app."""

import json
from collections.abc import AsyncIterator

import pytest

from gateway.settings import Settings
from tests.unit.gateway.routes.doors import DOORS, PREDICT, READ, Door, open_door

LIMIT = 3
TOKEN = ("POST", "/oauth2/token")
LOW = {"failed_attempts_per_minute": LIMIT, "public_requests_per_minute": LIMIT}


@pytest.fixture
def database_url() -> str:
    """SQLite alone: nothing here is about the records."""
    return ""


@pytest.fixture
async def direct(settings: Settings) -> AsyncIterator[Door]:
    """A server that clients connect to themselves."""
    async with open_door(settings, **LOW) as door:
        yield door


@pytest.fixture
async def proxied(settings: Settings) -> AsyncIterator[Door]:
    """A server behind our proxy, on a unix socket whose peers have no address."""
    async with open_door(settings, **LOW, unix_socket=settings.data_dir / "socket") as door:
        yield door


@DOORS
async def test_bad_credentials_beyond_the_limit_get_429(
    direct: Door, door: tuple[str, str]
) -> None:
    """With the seconds to wait, as a problem document that says no more than that."""
    assert await direct.statuses(LIMIT, door, key="garbage") == [401] * LIMIT
    answer = await direct.ask(door, key="garbage")
    assert (answer.status_code, answer.json()["code"]) == (429, "address_limited")
    assert 1 <= int(answer.headers["retry-after"]) <= 61
    assert answer.headers["content-type"] == "application/problem+json"


async def test_doors_count_together(direct: Door) -> None:
    """Two doors are not twice the attempts."""
    assert await direct.statuses(LIMIT, PREDICT, key="garbage") == [401] * LIMIT
    assert await direct.statuses(1, READ) == [429]


@DOORS
async def test_good_key_is_served_from_a_blocked_address(
    direct: Door, door: tuple[str, str]
) -> None:
    """A guesser behind the same proxy or household cannot lock a customer out."""
    key = await direct.good_key()
    await direct.statuses(LIMIT + 1, door, key="garbage")
    assert await direct.statuses(10, door, key=key) == [200] * 10


@DOORS
async def test_good_key_is_never_counted(direct: Door, door: tuple[str, str]) -> None:
    """Customers may call as often as their limits allow, and mistype afterwards."""
    await direct.statuses(LIMIT * 3, door, key=await direct.good_key())
    assert await direct.statuses(1, door, key="garbage") == [401]


@DOORS
async def test_refusals_tell_nothing_of_the_credential(direct: Door, door: tuple[str, str]) -> None:
    """Garbage, an unknown key and a wrong secret get the same bytes, before the limit and after."""
    key = await direct.good_key()
    other = await direct.good_key()
    kinds = ["garbage", key[:-1] + "?", "tg_live_" + "0" * 60, key[:30] + other[30:]]
    for attempts in (0, LIMIT):
        bodies = set()
        for number, kind in enumerate(kinds):
            peer = (f"198.51.{attempts}.{number}", 1)
            await direct.statuses(attempts, door, peer=peer)
            answer = await direct.ask(door, key=kind, peer=peer)
            assert answer.status_code == (429 if attempts else 401)
            bodies.add(json.dumps(answer.json() | {"request_id": ""}))
        assert len(bodies) == 1


async def test_each_address_has_its_own_limit(direct: Door) -> None:
    """One guesser changes nothing for others."""
    await direct.statuses(LIMIT + 1, PREDICT, key="garbage")
    assert await direct.statuses(1, PREDICT, peer=("192.0.2.8", 1), key="garbage") == [401]


async def test_addresses_of_one_site_count_together(direct: Door) -> None:
    """Whoever holds a /64 holds 2^64 addresses."""
    for number in range(LIMIT):
        await direct.ask(READ, peer=(f"2001:db8::{number}", 1))
    assert await direct.statuses(1, READ, peer=("2001:db8::ffff", 1)) == [429]
    assert await direct.statuses(1, READ, peer=("2001:db8:0:1::1", 1)) == [401]


async def test_client_without_an_address_is_limited_too(direct: Door) -> None:
    """Nobody slips through for want of a name."""
    assert await direct.statuses(LIMIT + 1, READ, peer=None) == [401] * LIMIT + [429]


async def test_direct_client_cannot_choose_its_address(direct: Door) -> None:
    """A forwarding header gives no new attempts, and uses up nobody else's."""
    for number in range(LIMIT):
        await direct.ask(READ, forwarded=f"198.51.100.{number}")
    assert (await direct.ask(READ, forwarded="198.51.100.99")).status_code == 429
    assert await direct.statuses(1, READ, peer=("198.51.100.0", 1)) == [401]


async def test_proxy_tells_its_clients_apart(proxied: Door) -> None:
    """Behind Nginx each client has its own limit."""
    await proxied.statuses(LIMIT, READ, peer=None, forwarded="198.51.100.1")
    assert (await proxied.ask(READ, peer=None, forwarded="198.51.100.1")).status_code == 429
    assert (await proxied.ask(READ, peer=None, forwarded="198.51.100.2")).status_code == 401


async def test_malformed_forwarding_shares_one_limit(proxied: Door) -> None:
    """A header that our proxy never writes is no way to more attempts."""
    for header in ("a", "198.51.100.1, 198.51.100.2", "::::"):
        assert (await proxied.ask(READ, peer=None, forwarded=header)).status_code == 401
    assert (await proxied.ask(READ, peer=None)).status_code == 429


async def test_public_pages_are_limited(direct: Door) -> None:
    """The document is large, and asked for without a credential."""
    pages = ["/docs", "/openapi.json", "/docs-assets/swagger-ui.css"]
    assert [(await direct.ask(("GET", page))).status_code for page in pages] == [200] * LIMIT
    answer = await direct.ask(("GET", "/docs"))
    assert (answer.status_code, answer.json()["code"]) == (429, "address_limited")
    assert 1 <= int(answer.headers["retry-after"]) <= 61
    assert await direct.statuses(1, ("GET", "/docs"), peer=("192.0.2.8", 1)) == [200]


async def test_probes_are_not_limited(direct: Door) -> None:
    """Nobody who shares an address with a probe can have the server restarted."""
    for probe in ("/healthz/live", "/healthz/ready"):
        assert set(await direct.statuses(LIMIT * 3, ("GET", probe))) == {200}


async def test_pages_and_attempts_are_counted_apart(direct: Door) -> None:
    """Reading the pages uses up no attempts, and mistyping no pages."""
    await direct.statuses(LIMIT + 1, ("GET", "/docs"))
    assert await direct.statuses(LIMIT, READ) == [401] * LIMIT


async def test_only_known_assets_are_served(direct: Door) -> None:
    """The folder of the pages is no way into the disk."""
    for number, name in enumerate(("redoc.standalone.js", "..", "%2e%2e%2fcore.py", "", "x.css")):
        peer = (f"192.0.2.{number}", 1)
        assert await direct.statuses(1, ("GET", f"/docs-assets/{name}"), peer=peer) == [404]


async def test_token_door_counts_every_request_of_an_address(settings: Settings) -> None:
    """Whatever was asked, apart from the pages, and from what others do."""
    async with open_door(settings, token_requests_per_minute=LIMIT) as door:
        assert await door.statuses(LIMIT, TOKEN) == [400] * LIMIT
        answer = await door.ask(TOKEN)
        assert (answer.status_code, answer.json()["code"]) == (429, "address_limited")
        assert await door.statuses(1, ("POST", "/oauth2/revoke")) == [429]
        assert await door.statuses(1, TOKEN, peer=("192.0.2.8", 1)) == [400]
        assert await door.statuses(1, ("GET", "/.well-known/jwks.json")) == [200]


async def test_failures_of_clients_and_of_keys_count_together(direct: Door) -> None:
    """A guesser gains nothing by knocking at another door."""
    form = {"grant_type": "client_credentials", "client_id": "a", "client_secret": "b"}
    refused = [await direct.ask(TOKEN, form=form) for _ in range(LIMIT)]
    assert [answer.status_code for answer in refused] == [401] * LIMIT
    assert await direct.statuses(1, READ, key="garbage") == [429]
    assert await direct.statuses(1, READ, key=await direct.good_key()) == [200]
