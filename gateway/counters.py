"""Open what limiters have counted, for whoever compares it with the bill."""

import contextlib
from collections.abc import AsyncIterator

from gateway.errors import SettingInvalid
from gateway.evidence.reconcile import ReadCounters
from gateway.limits.redis_address import RedisUrlInvalid
from gateway.limits.redis_limiter import PREFIX
from gateway.limits.redis_nodes import RedisNodes
from gateway.limits.redis_units import SCRIPT, TIMES, WHEN_AWAY, RedisCounters
from gateway.settings import Settings


@contextlib.asynccontextmanager
async def open_redis_counters(settings: Settings) -> AsyncIterator[ReadCounters | None]:
    """Connect to Redis until the block ends; None where limits are counted in the process.

    Raises:
        SettingInvalid: the URL of Redis is none.
    """
    url = settings.redis_url.get_secret_value()
    if not url:
        yield None
        return
    try:
        nodes = RedisNodes(url, SCRIPT, prefix=PREFIX, when_away=WHEN_AWAY, times=TIMES)
    except RedisUrlInvalid as error:
        raise SettingInvalid(f"TOLLGATE_REDIS_URL: {error}") from None
    counters = RedisCounters(nodes, prefix=PREFIX)
    try:
        await counters.open()
        yield counters.read
    finally:
        await counters.close()
