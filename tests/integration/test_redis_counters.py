"""What Redis has counted is read as it is there, and changed by nobody."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.counters import open_redis_counters
from gateway.limits.counted import Counted
from gateway.limits.limiter import Outcome
from gateway.limits.redis_limiter import PREFIX
from gateway.settings import Settings
from gateway.usage.periods import period_of, wall_clock_us
from tests.redis_limiters import build_limiter
from tests.redis_server import RedisServer, running_redis
from tests.unit.gateway.limits.callers import policy

PERIOD = 202611


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """Run a Redis."""
    with running_redis(tmp_path) as server:
        yield server


async def test_counters_are_read_by_tenant(redis: RedisServer) -> None:
    """Units of the month; of whom nothing is there, nothing is known."""
    redis.ask("HSET", "tollgate:{a}:units", str(PERIOD), 7, "since", 1)
    redis.ask("HSET", "tollgate:{b}:units", str(PERIOD - 1), 9, "since", 1)
    async with open_redis_counters(Settings(redis_url=SecretStr(redis.url))) as read:
        assert read is not None
        assert await read(["a", "b", "c"], PERIOD) == {
            "a": Counted(7, 0, is_known=True),
            "b": Counted(0, 0, is_known=True),
            "c": Counted(0, 0, is_known=False),
        }


async def test_units_in_flight_are_told(redis: RedisServer) -> None:
    """They explain a counter that is ahead, and no more than they are."""
    limiter = build_limiter(redis.url, prefix=PREFIX)
    await limiter.open()
    limits = policy(tenant="a", units=2**40, in_flight=9)
    grants = [await limiter.admit(limits, units=units, billed=True) for units in (3, 2**33, 5)]
    limiter.release(grants[2], Outcome.COMPLETED)
    await limiter.admit(limits, units=0, billed=False)
    async with open_redis_counters(Settings(redis_url=SecretStr(redis.url))) as read:
        assert read is not None
        found = await read(["a"], period_of(wall_clock_us()))
    await limiter.close()
    assert found == {"a": Counted(8 + 2**33, 3 + 2**33, is_known=True)}


async def test_redis_that_is_away_tells_nothing(redis: RedisServer) -> None:
    """Nobody takes that for zero."""
    async with open_redis_counters(Settings(redis_url=SecretStr(redis.url))) as read:
        assert read is not None
        redis.kill()
        assert await read(["a"], PERIOD) is None
