"""Name the address that a request comes from, as far as it can be believed, and judge addresses."""

import ipaddress
from collections.abc import MutableMapping
from typing import Any, Final

UNKNOWN: Final = "unknown"
"""Stands for every caller whose address cannot be told; never empty, which slowapi would let by."""
_FORWARDED_FOR: Final = b"x-forwarded-for"
_IPV6_SITE_BITS: Final = 64


def address_of(scope: MutableMapping[str, Any], *, trusts_proxy: bool) -> str:
    """Return the caller's IPv4 address, the /64 of its IPv6 address, or `UNKNOWN`.

    The peer's own address counts, and the header only where the peer is our proxy, which sets
    exactly one address. One household or machine commonly holds a whole /64.

    Threat: whoever may choose the address that is counted has as many attempts as addresses, and
    can use up somebody else's.
    """
    if trusts_proxy:
        values = [value for name, value in scope["headers"] if name == _FORWARDED_FOR]
        return _named(values[0].decode("latin-1")) if len(values) == 1 else UNKNOWN
    client = scope.get("client")
    return _named(client[0]) if client else UNKNOWN


def is_loopback(host: str) -> bool:
    """Say whether what listens on a host can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _named(text: str) -> str:
    try:
        address = ipaddress.ip_address(text.strip().partition("%")[0])
    except ValueError:
        return UNKNOWN
    if address.version == 4:  # noqa: PLR2004 - the version of IP
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, _IPV6_SITE_BITS), strict=False))
