"""What a limit can say against a request.

LimitError
├── RateLimited         the API key asks faster than its rate and burst
├── QuotaExceeded       the tenant's units of this month do not cover the request
└── TooManyInFlight     the tenant has as many requests in flight as its plan allows

StaleCatalogue          nothing against the request: who calls must be read again first
"""

from gateway.limits.policy import Policy, Standing


class LimitError(Exception):
    """A refusal that consumed nothing, with what the answer's headers need.

    Attributes:
        retry_after_seconds: at least 1; an earlier call meets the same refusal.
        policy: the limits that applied, and
        standing: where the caller stands, both for `limit_headers`.
        policy_name: the limit that binds: ``burst``, ``month`` or ``in-flight``.
    """

    policy_name = ""

    def __init__(self, *, policy: Policy, retry_after_seconds: int, standing: Standing) -> None:
        super().__init__(f"{self.policy_name}: retry after {retry_after_seconds} s")
        self.policy = policy
        self.retry_after_seconds = retry_after_seconds
        self.standing = standing


class RateLimited(LimitError):
    """The API key asks faster than its rate and burst."""

    policy_name = "burst"


class QuotaExceeded(LimitError):
    """The tenant's units of this month do not cover the request."""

    policy_name = "month"


class TooManyInFlight(LimitError):
    """The tenant has as many requests in flight as its plan allows."""

    policy_name = "in-flight"


class StaleCatalogue(Exception):
    """The caller was let in by a catalogue that may be outdated; nothing was consumed.

    Read it from SQL, check the caller again, and hand this to the next `Limiter.admit`: then what
    was read counts.

    Attributes:
        newest: the tenant's revision as far as Redis was told; 0 where it knows none, -1 where
            Redis was not asked.
        epoch: how often a Redis had come (back) when this was raised.
    """

    def __init__(self, *, newest: int, epoch: int) -> None:
        super().__init__(f"revision {newest} is newer than what is known")
        self.newest = newest
        self.epoch = epoch
