"""Who is calling by address: believed from our proxy alone, and never empty."""

from typing import Any

import pytest

from gateway.addresses import UNKNOWN, address_of


def _scope(client: tuple[str, int] | None, *forwarded: bytes) -> dict[str, Any]:
    return {"client": client, "headers": [(b"x-forwarded-for", value) for value in forwarded]}


@pytest.mark.parametrize(
    ("peer", "named"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", UNKNOWN),
        ("", UNKNOWN),
    ],
)
def test_peer_is_named_by_what_one_customer_holds(peer: str, named: str) -> None:
    """An IPv4 address however it is written, or the /64 of an IPv6 address."""
    assert address_of(_scope((peer, 1)), trusts_proxy=False) == named


def test_peer_without_an_address_shares_one_name() -> None:
    """A unix socket has none, and slowapi lets by whom it cannot name."""
    assert address_of(_scope(None), trusts_proxy=False) == UNKNOWN
    assert UNKNOWN


def test_client_cannot_choose_its_address() -> None:
    """The header of a direct client has no effect."""
    scope = _scope(("192.0.2.7", 1), b"198.51.100.1")
    assert address_of(scope, trusts_proxy=False) == "192.0.2.7"


def test_proxy_names_the_client() -> None:
    """The one address that the proxy sets counts."""
    assert address_of(_scope(None, b"198.51.100.1"), trusts_proxy=True) == "198.51.100.1"


@pytest.mark.parametrize(
    "forwarded",
    [
        (),
        (b"",),
        (b"198.51.100.1, 192.0.2.7",),
        (b"198.51.100.1", b"192.0.2.7"),
        (b"unix:",),
        (b"\xff\xfe",),
        (b"198.51.100.1:443",),
    ],
)
def test_anything_but_one_forwarded_address_shares_one_name(forwarded: tuple[bytes, ...]) -> None:
    """A header that no proxy of ours writes cannot be used to be somebody else."""
    assert address_of(_scope(None, *forwarded), trusts_proxy=True) == UNKNOWN
