"""What a caller may do, and where the caller stands: plain values.

Source: draft-ietf-httpapi-ratelimit-headers-10 for the words quota, window, remaining and reset.
"""

from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import NamedTuple

_SECOND_US = 1_000_000
_MONTH_SECONDS = 2_592_000


@dataclass(frozen=True)
class Policy:
    """The limits of one API key and its tenant; None means unlimited.

    Build one per API key and reuse it: the derived values below are computed once per instance.

    Attributes:
        requests_per_second: sustained rate of the API key, above 0.
        burst: requests the API key may send at once; None with a rate means one second's worth.
        units_per_month: units of the tenant in a calendar month, UTC.
        max_in_flight: requests of the tenant between admission and release.
    """

    tenant_id: str
    key_id: str
    requests_per_second: float | None
    burst: int | None
    units_per_month: int | None
    max_in_flight: int | None

    @cached_property
    def interval_us(self) -> int:
        """The time one request uses up in microseconds, rounded up; 0 when unlimited."""
        if self.requests_per_second is None:
            return 0
        return max(1, ceil(_SECOND_US / self.requests_per_second))

    @cached_property
    def quota_requests(self) -> int:
        """The requests that an idle API key may send at once; 0 for a share that is nothing."""
        return max(1, ceil(self.requests_per_second or 1)) if self.burst is None else self.burst

    @cached_property
    def capacity_us(self) -> int:
        """The time that a whole burst uses up in microseconds."""
        return self.interval_us * self.quota_requests

    @cached_property
    def header(self) -> bytes:
        """The value of ``RateLimit-Policy``; empty when nothing is limited."""
        items = []
        if self.interval_us:
            window_seconds = -(-self.capacity_us // _SECOND_US)
            items.append(f'"burst";q={self.quota_requests};w={window_seconds}')
        if self.units_per_month is not None:
            items.append(f'"month";q={self.units_per_month};w={_MONTH_SECONDS}')
        return ", ".join(items).encode()


class Standing(NamedTuple):
    """Where a caller stands after a decision; 0 where the policy sets no limit.

    A tuple, because one is built for every request.
    """

    burst_remaining: int
    """Requests that would be admitted now."""

    burst_reset_seconds: int
    """Seconds until a whole burst is there again."""

    month_remaining: int
    """Units left in this month."""

    month_reset_seconds: int
    """Seconds until the month ends."""
