"""The interface of every limiter: admit a request or refuse it whole, then settle it."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from gateway.limits.errors import StaleCatalogue
from gateway.limits.policy import Policy, Standing


class Outcome(Enum):
    """How an admitted request ended, which decides what is given back."""

    COMPLETED = auto()
    """It was answered: nothing is given back but the place in flight."""

    FAILED = auto()
    """It ran and failed: the units are given back, the rate is not."""

    REFUSED = auto()
    """The server itself refused it before running: units and rate are given back."""


@dataclass(slots=True, eq=False)
class Grant:
    """One admission; hand it back with `Limiter.release`, once.

    Each limiter subclasses it with what it must remember.
    """

    policy: Policy
    standing: Standing


class Limiter(Protocol):
    """Decide on requests by rate, monthly quota and requests in flight, all or nothing."""

    async def admit(
        self,
        policy: Policy,
        *,
        units: int,
        billed: bool,
        revision: int | None = None,
        after: StaleCatalogue | None = None,
    ) -> Grant:
        """Admit one request of `units`, or refuse it without consuming anything.

        Args:
            policy: the limits that apply.
            units: what the request costs, known before it runs.
            billed: False leaves the monthly quota out (test keys); rate and flight still count.
            revision: up to which the catalogue was known when the caller was let in; None where
                nobody else can change it.
            after: the refusal after which the catalogue was read and the caller checked again.

        Raises:
            RateLimited: the API key is over its rate and burst.
            QuotaExceeded: the tenant's month does not cover `units`.
            TooManyInFlight: the tenant has too many requests in flight.
            StaleCatalogue: the catalogue must be read before this can be decided.
        """
        ...

    def release(self, grant: Grant, outcome: Outcome) -> None:
        """End the request: free its place in flight and give back what `outcome` says.

        A second release of the same grant does nothing.
        """
        ...

    def load_quota(self, tenant_id: str, period: int, units: int) -> None:
        """Set the units that a tenant has used in a period (`202611`), read from the ledger."""
        ...
