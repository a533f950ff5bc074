"""Tell Redis of changes of the catalogue, so that no server admits anybody by an older one.

Written after the commit and before the answer. Servers that share a data folder see the change in
its generation anyway. Others see it in Redis, or in SQL within a time that the answer then waits
for.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from gateway.limits.redis_keys import tenant_prefix, units_key
from gateway.limits.redis_link import LinkTimes
from gateway.limits.redis_nodes import RedisNodes

SCRIPT = Path(__file__).with_name("revision.lua").read_bytes()
TIMES = LinkTimes(budget_seconds=0.25)
WHEN_AWAY = "Redis cannot be told of changes of the catalogue, other servers read them from SQL"


class RevisionBoard:
    """Write the newest revision of each tenant where every admission looks.

    Threat: a revocation that was answered before the other servers could know of it would not have
    revoked anything there. Where Redis cannot be told, the answer waits until they have read SQL.
    """

    def __init__(
        self,
        nodes: RedisNodes | None,
        *,
        prefix: str,
        settle_seconds: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Build a board that connects with its first announcement.

        Args:
            nodes: one Redis or a cluster, made with `SCRIPT`; None where there is none.
            prefix: what every key in Redis begins with.
            settle_seconds: after which every server has read SQL; 0 where all share a data folder.
            sleep: waits, in seconds.
        """
        self._nodes = nodes
        self._prefix = prefix
        self._settle_seconds = settle_seconds
        self._sleep = sleep
        self._one_at_a_time = asyncio.Lock()
        self._is_open = False

    async def close(self) -> None:
        """Disconnect, if it ever was connected."""
        if self._is_open and self._nodes is not None:
            await self._nodes.close()

    async def announce(self, tenant_id: str, revision: int) -> None:
        """Return when no server admits anybody of the tenant by an older catalogue any more.

        An empty id stands for all tenants. Redis has no one place for them, so the answer waits.
        """
        is_told = False
        if tenant_id and self._nodes is not None:
            is_told = await self._tell(self._nodes, tenant_id, revision)
        if not is_told and self._settle_seconds:
            await self._sleep(self._settle_seconds)

    async def _tell(self, nodes: RedisNodes, tenant_id: str, revision: int) -> bool:
        """Say whether Redis has it."""
        key = units_key(tenant_prefix(self._prefix, tenant_id))
        async with self._one_at_a_time:
            if not self._is_open:
                self._is_open = True
                await nodes.open()
            replies = await nodes.link_of_key(key).call([([key], [revision])])
        return replies is not None and replies[0] is not None
