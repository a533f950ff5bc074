"""What could not be told to Redis, kept until it can be."""

from gateway.limits.redis_operations import NO_LEASE, Admission, Release, undo_of

_MOST = 65_536
_NEVER = -1


class Unsent:
    """Keep releases while Redis is away, up to a bound; the rest expires with its lease.

    What Redis may have done without our knowing is told again only where a second time does
    nothing; the rest stays consumed, never more.
    """

    def __init__(self) -> None:
        self._releases: list[Release] = []
        self.lost = 0
        """Releases that are never told; leases expire, units and rate stay consumed."""

    @property
    def is_kept(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self._releases)

    def keep(self, release: Release) -> None:
        """Keep one that was not sent."""
        if len(self._releases) < _MOST:
            self._releases.append(release)
        else:
            self.lost += 1

    def keep_unknown(self, operation: Admission | Release) -> None:
        """Keep what can be told again without harm; Redis may or may not have done it."""
        if isinstance(operation, Admission):
            owe_again(operation)
            if operation.lease != NO_LEASE:
                self.keep(undo_of(operation))
        elif operation.is_repeatable:
            self.keep(operation)
        else:
            self.lost += 1

    def keep_undone(self, operation: Admission | Release) -> None:
        """Keep one that Redis certainly did not do."""
        if isinstance(operation, Admission):
            owe_again(operation)
        else:
            self.keep(operation)

    def take(self) -> list[Release]:
        """Return all that is kept, and keep nothing."""
        taken, self._releases = self._releases, []
        return taken


def owe_again(admission: Admission) -> None:
    """Take back what a request took along to tell."""
    caller = admission.caller
    caller.epoch = _NEVER
    if caller.local_idle_at_us:  # more was admitted locally while the call was in doubt
        caller.local_idle_at_us += admission.owed_us
    else:
        caller.local_idle_at_us = admission.owed_idle_at_us
    caller.tenant.owe(admission.owed_period, admission.owed)
