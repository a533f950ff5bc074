"""What a limiter has counted of one tenant in one month: a plain value, to be compared."""

from typing import NamedTuple


class Counted(NamedTuple):
    """The units that a limiter takes for used."""

    units: int
    leases: int
    """Requests in flight, or lost with their worker until the lease ends; 0 where there is no cap.
    """

    is_known: bool
    """False where it has counted nothing yet and is told with the tenant's next request."""
