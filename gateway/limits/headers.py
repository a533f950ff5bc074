"""The response headers that tell a caller where it stands.

Source: draft-ietf-httpapi-ratelimit-headers-10, sections 3 and 4.
"""

from gateway.limits.policy import Policy, Standing

Headers = list[tuple[bytes, bytes]]


def limit_headers(policy: Policy, standing: Standing) -> Headers:
    """Return ``RateLimit-Policy`` and ``RateLimit``; nothing for what is unlimited.

    A caller that stays within ``r`` and otherwise waits ``t`` is not refused. On a refusal add
    ``Retry-After`` from `LimitError.retry_after_seconds`: it names the limit that binds longest.
    """
    header = policy.header
    if not header:
        return []
    if not policy.interval_us:
        value = b'"month";r=%d;t=%d' % standing[2:]
    elif policy.units_per_month is None:
        value = b'"burst";r=%d;t=%d' % standing[:2]
    else:
        value = b'"burst";r=%d;t=%d, "month";r=%d;t=%d' % standing
    return [(b"ratelimit-policy", header), (b"ratelimit", value)]
