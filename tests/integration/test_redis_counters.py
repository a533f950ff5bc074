"""What Redis has counted is read as it is there, and changed by nobody."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.counters import open_redis_counters
from gateway.limits.counted import Counted
from gateway.settings import Settings
from tests.redis_server import RedisServer, running_redis

PERIOD = 202611


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """Run a Redis."""
    with running_redis(tmp_path) as server:
        yield server


async def test_counters_are_read_by_tenant(redis: RedisServer) -> None:
    """Units of the month and leases; of whom nothing is there, nothing is known."""
    redis.ask("HSET", "tollgate:{a}:units", str(PERIOD), 7, "since", 1)
    redis.ask("ZADD", "tollgate:{a}:leases", 1, "lease")
    redis.ask("HSET", "tollgate:{b}:units", str(PERIOD - 1), 9, "since", 1)
    async with open_redis_counters(Settings(redis_url=SecretStr(redis.url))) as read:
        assert read is not None
        assert await read(["a", "b", "c"], PERIOD) == {
            "a": Counted(7, 1, is_known=True),
            "b": Counted(0, 0, is_known=True),
            "c": Counted(0, 0, is_known=False),
        }


async def test_redis_that_is_away_tells_nothing(redis: RedisServer) -> None:
    """Nobody takes that for zero."""
    async with open_redis_counters(Settings(redis_url=SecretStr(redis.url))) as read:
        assert read is not None
        redis.kill()
        assert await read(["a"], PERIOD) is None
