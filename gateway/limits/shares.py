"""What one of several processes may grant alone, when they cannot count together.

The shares of all of them add up to no more than the limit. What cannot be divided goes to one of
them, another one for each tenant, where the processes are numbered; else to none. A process whose
share is nothing refuses, as a limit that is exceeded by one is exceeded.
"""

from dataclasses import dataclass
from zlib import crc32

from gateway.limits.policy import Policy
from gateway.limits.shared_state import SharedTenant


@dataclass(frozen=True, slots=True)
class Share:
    """One process of `workers` that share the limits."""

    workers: int = 1
    index: int | None = None
    """Which one, counted from 0; None where they are not numbered."""

    def part_of(self, amount: int, tenant_id: str) -> int:
        """Return this process's part of an amount."""
        whole, rest = divmod(amount, self.workers)
        if not rest or self.index is None:
            return whole
        turn = crc32(tenant_id.encode(errors="surrogatepass")) + self.index
        return whole + (turn % self.workers < rest)

    def of(self, policy: Policy, tenant: SharedTenant, *, held: int) -> Policy:
        """Return the limits that this process grants alone.

        Args:
            policy: the limits of all together.
            tenant: what the process knows of the tenant.
            held: requests of this process that are in flight by Redis' leave.
        """
        cap, limit = policy.max_in_flight, policy.units_per_month
        if self.workers == 1 and (cap is None or not held):
            return policy
        tenant_id, used = policy.tenant_id, tenant.used
        rate, burst = self._rate(policy)
        return Policy(
            tenant_id=tenant_id,
            key_id=policy.key_id,
            requests_per_second=rate,
            burst=burst,
            units_per_month=None
            if limit is None
            else used + self.part_of(max(0, limit - used), tenant_id),
            max_in_flight=None if cap is None else max(0, self.part_of(cap, tenant_id) - held),
        )

    def _rate(self, policy: Policy) -> tuple[float | None, int | None]:
        """Divide the rate as the burst is divided, so that both shares take as long to fill."""
        rate, burst = policy.requests_per_second, policy.quota_requests
        if rate is None:
            return None, None
        part = self.part_of(burst, policy.tenant_id)
        return rate * max(1, part) / burst, part
