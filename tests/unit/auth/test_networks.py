"""Networks are read strictly, have one spelling, and hold exactly the addresses that they say."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.errors import InvalidChange
from auth.networks import (
    MAX_NETWORKS,
    address_from,
    check_networks,
    is_narrower,
    is_within,
    networks_of,
)


def within(text: str, *networks: str) -> bool:
    """Tell whether an address is in a list, both as they are written."""
    return is_within(address_from(text), networks_of(check_networks(networks)) or ())


def narrower(inner: list[str], outer: list[str]) -> bool:
    """Tell whether a list is within another, both as they are written."""
    return is_narrower(
        networks_of(check_networks(inner)) or (), networks_of(check_networks(outer)) or ()
    )


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("2001:DB8:0:0::/32", "2001:db8::/32"),
        ("2001:db8::1", "2001:db8::1/128"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
    ],
)
def test_network_has_one_spelling(written: str, canonical: str) -> None:
    """However a network is written, it is kept in one form."""
    assert check_networks([written]) == (canonical,)


@pytest.mark.parametrize(
    "written",
    [
        *("", "all", "localhost", "192.0.2.0/33", "192.0.2.0/-1", "192.0.2.0/ 24", " 192.0.2.0/24"),
        *("192.0.2.0/255.255.255.0", "192.0.2.0/0.0.0.255", "192.0.2", "192.0.02.0/24", "1/8"),
        *("192.0.2.0/24/24", "fe80::%eth0/64", "fe80::1%1", "2001:db8::/129", "192.0.2.0/24\n"),
        *("\u0661.0.0.0/8", "192.0.2.0,198.51.100.0", "0x7f000001", "2130706433", "::g/64"),
    ],
)
def test_what_is_no_network_is_refused(written: str) -> None:
    """The refusal names the entry by its place and does not repeat it."""
    with pytest.raises(InvalidChange, match=r"^networks: entry 2 is not a network such as"):
        check_networks(["192.0.2.0/24", written])


@pytest.mark.parametrize("written", ["192.0.2.1/24", "2001:db8::1/64", "::ffff:192.0.2.1/120"])
def test_bits_behind_the_prefix_are_refused(written: str) -> None:
    """`192.0.2.1/24` may be meant as one address or as a network: nobody guesses."""
    with pytest.raises(InvalidChange, match="has bits set behind its prefix"):
        check_networks([written])


def test_number_of_networks_is_bounded() -> None:
    """One at least, 64 at most, so that a request compares few."""
    most = [f"10.0.{number}.0/24" for number in range(MAX_NETWORKS)]
    assert check_networks(most) == tuple(most)
    for refused in ([], [*most, "192.0.2.0/24"]):
        with pytest.raises(InvalidChange, match="must be 1 to 64"):
            check_networks(refused)


def test_repetition_is_dropped() -> None:
    """Two spellings of one network are one."""
    assert check_networks(["::ffff:10.0.0.0/104", "10.0.0.0/8"]) == ("10.0.0.0/8",)


def test_absent_list_is_everywhere() -> None:
    """No list is no bound."""
    assert check_networks(None) is None
    assert networks_of(None) is None


@pytest.mark.parametrize(
    "spelling", ["10.1.2.3", "::ffff:10.1.2.3", "::ffff:a01:203", " 10.1.2.3 "]
)
def test_mapped_address_is_the_address(spelling: str) -> None:
    """An IPv4 caller on an IPv6 socket is in the same networks as on an IPv4 one."""
    assert within(spelling, "10.0.0.0/8")
    assert within(spelling, "::ffff:10.0.0.0/104")
    assert not within(spelling, "::/0")
    assert not within(spelling, "192.0.2.0/24")


@pytest.mark.parametrize("spelling", ["", "unknown", "10.1.2", "_gateway", "[::1]", "10.1.2.3:80"])
def test_address_that_cannot_be_told_is_nowhere(spelling: str) -> None:
    """A caller without an address is not let in by a network of everything."""
    assert address_from(spelling) is None
    assert not within(spelling, "0.0.0.0/0", "::/0")


def test_single_address_of_a_site_is_told_apart() -> None:
    """A list may name one IPv6 address, though a whole /64 is counted as one caller."""
    assert within("2001:db8::1", "2001:db8::1")
    assert not within("2001:db8::2", "2001:db8::1")


def test_narrower_list_is_within_the_wider() -> None:
    """Each network must be wholly inside; neighbours of the wider list count as one."""
    assert narrower(["10.0.0.0/9", "10.128.0.0/9"], ["10.0.0.0/8"])
    assert narrower(["10.0.0.0/8"], ["10.0.0.0/9", "10.128.0.0/9"])
    assert narrower(["::ffff:10.0.0.0/104"], ["10.0.0.0/8"])
    assert not narrower(["10.0.0.0/8"], ["10.0.0.0/9"])
    assert not narrower(["10.0.0.0/8", "192.0.2.0/24"], ["10.0.0.0/8"])
    assert not narrower(["10.0.0.0/8"], ["::/0"])
    assert not narrower(["::/0"], ["0.0.0.0/0"])


@given(
    address=st.ip_addresses(),
    other=st.ip_addresses(),
    bits=st.integers(0, 128),
)
def test_membership_is_that_of_the_bits(
    address: IPv4Address | IPv6Address, other: IPv4Address | IPv6Address, bits: int
) -> None:
    """An address is within a network exactly when its first bits are the network's."""
    width = other.max_prefixlen
    prefix = min(bits, width)
    network = check_networks([str(ip_network((other, prefix), strict=False))])
    told = address_from(str(address))
    kept = ip_network((network or ("",))[0])
    expected = (
        told is not None
        and told.version == kept.version
        and int(told) >> (told.max_prefixlen - kept.prefixlen)
        == int(kept.network_address) >> (told.max_prefixlen - kept.prefixlen)
    )
    assert is_within(told, networks_of(network) or ()) == expected
    assert ip_address(str(kept.network_address)) == kept.network_address
