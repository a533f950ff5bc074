"""The names of a tenant's keys in Redis.

Every key of a tenant carries the hash tag ``{tenant}``, so that a cluster keeps them on one node.
Threat: an id with ``}`` or ``:`` could otherwise be written so that it meets another tenant's keys.
"""

from urllib.parse import quote

_EMPTY = "%"  # never the result of quoting; an empty tag would be no tag to a cluster


def encode_id(text: str) -> str:
    """Return an id with all but letters, digits and ``_.-~`` percent-encoded; never empty."""
    return quote(text, safe="", errors="surrogatepass") or _EMPTY


def tenant_prefix(prefix: str, tenant_id: str) -> str:
    """Return what every key of a tenant begins with."""
    return f"{prefix}:{{{encode_id(tenant_id)}}}:"


def units_key(tenant: str) -> str:
    """Return the key of the units used, from a tenant's prefix."""
    return tenant + "units"


def leases_key(tenant: str) -> str:
    """Return the key of the requests in flight, from a tenant's prefix."""
    return tenant + "leases"


def meter_key(tenant: str, key_id: str) -> str:
    """Return the key of an API key's meter, from its tenant's prefix."""
    return f"{tenant}meter:{encode_id(key_id)}"
