"""Networks that a credential is bound to: read them strictly, and tell which address is within.

An IPv4 address that is written as IPv6 (`::ffff:192.0.2.1`, RFC 4291 section 2.5.5.2) is the IPv4
address, in a list and in a request alike.

Threat: an address with two spellings passes whichever list knows the other one.
"""

import re
from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    collapse_addresses,
    ip_address,
    ip_network,
)
from typing import Final

from auth.errors import InvalidChange

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_NETWORKS: Final = 64
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_is_network: Final = re.compile(r"[0-9A-Fa-f:.]{2,45}(?:/[0-9]{1,3})?", re.ASCII).fullmatch


def check_networks(networks: Iterable[str] | None) -> tuple[str, ...] | None:
    """Return networks in canonical form without repetition; None is everywhere.

    An address alone is a network of one. Masks in dots are refused, because programs differ on
    whether they count ones or zeros, and so are zones (`%eth0`), which mean nothing elsewhere.

    Raises:
        InvalidChange: none or too many of them, or one is no network; it is named by its place.
    """
    if networks is None:
        return None
    texts = list(networks)
    if not 1 <= len(texts) <= MAX_NETWORKS:
        raise InvalidChange(f"must be 1 to {MAX_NETWORKS}, or absent", "networks")
    read = [_read(text, place=place) for place, text in enumerate(texts, start=1)]
    return tuple(dict.fromkeys(map(str, read)))


def networks_of(networks: Iterable[str] | None) -> tuple[Network, ...] | None:
    """Return networks that were checked as what addresses are compared with."""
    return None if networks is None else tuple(map(ip_network, networks))


def address_from(text: str) -> Address | None:
    """Read the address of a caller; None for what is none.

    Any zone is cut off: it names an interface of this machine.
    """
    try:
        address = ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_within(address: Address | None, networks: Iterable[Network]) -> bool:
    """Tell whether an address is in one of the networks; one that is not known is in none."""
    return address is not None and any(address in network for network in networks)


def is_narrower(networks: Iterable[Network], outer: Iterable[Network]) -> bool:
    """Tell whether every address of `networks` is in `outer`, where neighbours are one network."""
    merged = _merged(outer)
    return all(any(_is_part(network, whole) for whole in merged) for network in networks)


def _read(text: str, *, place: int) -> Network:
    if _is_network(text) is None:
        raise InvalidChange(f"entry {place} is not a network such as 192.0.2.0/24", "networks")
    try:
        return _unmapped(ip_network(text))
    except ValueError:
        raise InvalidChange(f"entry {place} {_fault_of(text)}", "networks") from None


def _fault_of(text: str) -> str:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return "is not a network such as 192.0.2.0/24"
    return "has bits set behind its prefix; name the network by its first address"


def _unmapped(network: Network) -> Network:
    if isinstance(network, IPv4Network) or not network.subnet_of(_MAPPED):
        return network
    first = int(network.network_address) & 0xFFFF_FFFF
    return IPv4Network((first, network.prefixlen - _MAPPED.prefixlen))


def _merged(networks: Iterable[Network]) -> list[Network]:
    known = list(networks)
    four = [network for network in known if isinstance(network, IPv4Network)]
    six = [network for network in known if isinstance(network, IPv6Network)]
    return [*collapse_addresses(four), *collapse_addresses(six)]


def _is_part(network: Network, whole: Network) -> bool:
    if isinstance(network, IPv4Network) and isinstance(whole, IPv4Network):
        return network.subnet_of(whole)
    if isinstance(network, IPv6Network) and isinstance(whole, IPv6Network):
        return network.subnet_of(whole)
    return False
