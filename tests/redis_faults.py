"""What can happen to a Redis: each fault breaks a real one and mends it again."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.load import ClientLog
from tests.redis_server import RedisServer, running_redis
from tests.slow_proxy import SlowProxy, slow_proxy

_LOAD_SECONDS = 120.0
_POLL_SECONDS = 0.005


@dataclass(frozen=True)
class FaultyRedis:
    """A redis-server behind a proxy that can be slow; clients connect to the proxy."""

    server: RedisServer
    proxy: SlowProxy

    @property
    def url(self) -> str:
        """Where clients connect."""
        return self.proxy.url

    def nothing(self) -> None:
        """Leave it as it is."""

    def empty(self) -> None:
        """Lose everything it holds, under the connections."""
        self.server.ask("FLUSHALL")

    def fill(self) -> None:
        """Run out of memory."""
        self.server.ask("CONFIG", "SET", "maxmemory", 1)

    def make_room(self) -> None:
        """Have memory again."""
        self.server.ask("CONFIG", "SET", "maxmemory", 0)

    def forget_scripts(self) -> None:
        """Lose the cache of scripts."""
        self.server.ask("SCRIPT", "FLUSH", "SYNC")


@dataclass(frozen=True)
class Fault:
    """One way to break a Redis, and how it is mended."""

    name: str
    begin: Callable[[FaultyRedis], None]
    end: Callable[[FaultyRedis], None] = FaultyRedis.nothing


FAULTS = (
    Fault("killed", lambda redis: redis.server.kill(), lambda redis: redis.server.start()),
    Fault("hung", lambda redis: redis.server.hang(), lambda redis: redis.server.resume()),
    Fault("slow", lambda redis: redis.proxy.slow_down(), lambda redis: redis.proxy.speed_up()),
    Fault("full", FaultyRedis.fill, FaultyRedis.make_room),
    Fault("flushed", FaultyRedis.empty),
    Fault("scripts forgotten", FaultyRedis.forget_scripts),
)

every_fault = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)


@contextlib.contextmanager
def faulty_redis(folder: Path) -> Iterator[FaultyRedis]:
    """Run a Redis that may be broken, for the length of a block."""
    with (
        running_redis(folder) as server,
        slow_proxy(folder / "proxy.sock", behind=server.socket) as proxy,
    ):
        yield FaultyRedis(server, proxy)


async def until_so(is_so: Callable[[], bool]) -> None:
    """Wait for something that can be observed, within a bound."""
    async with asyncio.timeout(_LOAD_SECONDS):
        while not is_so():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(_POLL_SECONDS)


async def until_answered(log: ClientLog, answers: int) -> None:
    """Wait until a load has been answered so often."""
    await until_so(lambda: len(log.served) + log.refused.total() >= answers)
