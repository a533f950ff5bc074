"""What a limiter has counted of one tenant in one month: a plain value, to be compared."""

from typing import NamedTuple


class Counted(NamedTuple):
    """The units that a limiter takes for used."""

    units: int
    leased: int
    """Of these, the units of requests in flight, or lost with their worker until their leases end;
    0 where there is no cap on requests in flight.
    """

    is_known: bool
    """False where it has counted nothing yet and is told with the tenant's next request."""
