"""Name the address that a request comes from, as far as it can be believed, and judge addresses."""

import ipaddress
from collections.abc import MutableMapping
from typing import Any, Final

from auth.networks import Address, address_from

UNKNOWN: Final = "unknown"
"""Stands for every caller whose address cannot be told; never empty, which slowapi would let by."""
_FORWARDED_FOR: Final = b"x-forwarded-for"
_IPV6_SITE_BITS: Final = 64


def address_of(scope: MutableMapping[str, Any], *, trusts_proxy: bool) -> str:
    """Return what a caller is counted by: its IPv4 address, the /64 of its IPv6 one, or `UNKNOWN`.

    One household or machine commonly holds a whole /64.
    """
    address = source_of(scope, trusts_proxy=trusts_proxy)
    if address is None:
        return UNKNOWN
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.ip_network((address, _IPV6_SITE_BITS), strict=False))


def source_of(scope: MutableMapping[str, Any], *, trusts_proxy: bool) -> Address | None:
    """Return the caller's address, IPv4 where it is one written as IPv6; None if it is not known.

    The peer's own address counts, and the header only where the peer is our proxy, which sets
    exactly one address.

    Threat: whoever may choose the address that is counted has as many attempts as addresses, and
    can use up somebody else's; and a key that is bound to a network works from anywhere.
    """
    if trusts_proxy:
        values = [value for name, value in scope["headers"] if name == _FORWARDED_FOR]
        return address_from(values[0].decode("latin-1")) if len(values) == 1 else None
    client = scope.get("client")
    return address_from(client[0]) if client else None


def is_loopback(host: str) -> bool:
    """Say whether what listens on a host can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
