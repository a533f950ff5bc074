"""Read what Redis has counted of tenants' months, beside the limiters that count there."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway.limits.counted import Counted
from gateway.limits.redis_keys import leases_key, tenant_prefix, units_key
from gateway.limits.redis_link import LinkTimes
from gateway.limits.redis_nodes import RedisNodes

SCRIPT: Final = Path(__file__).with_name("units.lua").read_bytes()
TIMES: Final = LinkTimes(budget_seconds=2.0)
WHEN_AWAY: Final = "the counters cannot be compared with the bill"


class RedisCounters:
    """Ask one Redis, or the nodes of a cluster."""

    def __init__(self, nodes: RedisNodes, *, prefix: str) -> None:
        """Build what `open` connects; `nodes` are made with `SCRIPT`."""
        self._nodes = nodes
        self._prefix = prefix

    async def open(self) -> None:
        """Connect."""
        await self._nodes.open()

    async def close(self) -> None:
        """Disconnect."""
        await self._nodes.close()

    async def read(self, tenant_ids: Sequence[str], period: int) -> dict[str, Counted] | None:
        """Return what is counted of each tenant in a month; None where Redis does not answer."""
        counted: dict[str, Counted] = {}
        for tenant_id in tenant_ids:
            prefix = tenant_prefix(self._prefix, tenant_id)
            keys = [units_key(prefix), leases_key(prefix)]
            replies = await self._nodes.link_of_key(keys[0]).call([(keys, [period])])
            if replies is None or replies[0] is None:
                return None
            units, since, leased = replies[0]
            counted[tenant_id] = Counted(units, leased, is_known=since > 0)
        return counted
