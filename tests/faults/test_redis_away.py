"""Redis killed, hung, slow, empty or full: limits hold, and nobody is refused for its sake."""

import asyncio
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.limits.errors import LimitError
from gateway.limits.limiter import Outcome
from gateway.limits.policy import Policy
from gateway.limits.redis_limiter import RedisLimiter
from gateway.limits.shares import Share
from gateway.limits.windows import month_of
from tests.redis_faults import Fault, FaultyRedis, every_fault, faulty_redis
from tests.redis_limiters import BACK_SECONDS, PATIENT_SECONDS, build_limiter, opened, until_shared
from tests.redis_server import RedisServer
from tests.unit.gateway.limits.callers import (
    SECOND_US,
    Clocks,
    admitted,
    attempt,
    policy,
    refusal,
)

ROUNDS = 3
CALLERS = 32
LIMIT = 10_000


@pytest.fixture
def faulty(tmp_path: Path) -> Iterator[FaultyRedis]:
    """Run a Redis that the test may break."""
    with faulty_redis(tmp_path) as faulty:
        yield faulty


@pytest.fixture
def redis_server(faulty: FaultyRedis) -> RedisServer:
    """Return its server, without the proxy in front."""
    return faulty.server


@dataclass
class Load:
    """Callers that ask at the same time, and what they got; any error but a refusal is raised."""

    limiter: RedisLimiter
    limits: Policy
    admitted: int = 0
    in_flight: int = 0
    most_in_flight: int = 0

    async def wave(self) -> None:
        """Let every caller ask some times."""
        await asyncio.gather(*(self._ask() for _ in range(CALLERS)))

    async def _ask(self) -> None:
        for _ in range(5):
            try:
                grant = await self.limiter.admit(self.limits, units=1, billed=True)
            except LimitError:
                continue
            self.admitted += 1
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            await asyncio.sleep(0)
            self.in_flight -= 1
            self.limiter.release(grant, Outcome.COMPLETED)

    async def through(self, fault: Fault, redis: FaultyRedis) -> None:
        """Ask before, during and after a fault, some times over."""
        for _ in range(ROUNDS):
            await self.wave()
            fault.begin(redis)
            await self.wave()
            fault.end(redis)
            await self.wave()
            await until_shared(self.limiter)


@every_fault
async def test_rate_is_never_exceeded(faulty: FaultyRedis, fault: Fault) -> None:
    """The meter goes over to the process and back; no fault is worth a second burst."""
    limits = policy(rate=0.0001, burst=700)
    async with opened(build_limiter(faulty.url)) as limiter:
        load = Load(limiter, limits)
        await load.through(fault, faulty)
        for _ in range(3):
            await load.wave()
    assert 700 - ROUNDS * CALLERS <= load.admitted <= 700


@every_fault
async def test_quota_is_never_exceeded(faulty: FaultyRedis, fault: Fault) -> None:
    """Units used in Redis count locally, and units used locally count in Redis."""
    limits = policy(units=LIMIT)
    async with opened(build_limiter(faulty.url, budget_seconds=0.1)) as limiter:
        load = Load(limiter, limits)
        await load.through(fault, faulty)
        left = (await limiter.admit(limits, units=1, billed=True)).standing.month_remaining
    assert left <= LIMIT - load.admitted - 1
    assert left >= LIMIT - load.admitted - 1 - 3 * ROUNDS * CALLERS


@every_fault
async def test_cap_in_flight_is_never_exceeded(faulty: FaultyRedis, fault: Fault) -> None:
    """Leases of both sides count together, and none is left behind."""
    limits = policy(in_flight=10)
    async with opened(build_limiter(faulty.url)) as limiter:
        load = Load(limiter, limits)
        await load.through(fault, faulty)
        await limiter.drain()
        await until_shared(limiter)
        assert [await admitted(limiter, limits) for _ in range(11)] == [True] * 10 + [False]
    assert load.most_in_flight == 10


@every_fault
async def test_nobody_is_refused_for_redis_sake(faulty: FaultyRedis, fault: Fault) -> None:
    """Within the limits every request gets in, whatever Redis does."""
    async with opened(build_limiter(faulty.url)) as limiter:
        load = Load(limiter, policy(rate=1e6, units=10**9, in_flight=1000))
        await load.through(fault, faulty)
    assert load.admitted == 3 * ROUNDS * CALLERS * 5


async def test_hung_redis_is_asked_once(redis_server: RedisServer) -> None:
    """Whoever is near a limit waits until it is given up; those after that are decided at once."""
    async with opened(build_limiter(redis_server.url, share=Share(2, 0))) as limiter:
        redis_server.hang()
        for _ in range(3):
            assert await admitted(limiter, policy(rate=1.0, burst=9))
            assert not limiter.is_shared
        assert limiter.shared_operations == 1
        redis_server.resume()


async def test_late_redis_decides_for_callers_near_a_limit(redis_server: RedisServer) -> None:
    """Who is far from it goes on alone, and no request is counted twice."""
    near, far = (policy(rate=0.001, burst=burst, key=f"key_{burst}") for burst in (2, 9))
    async with opened(build_limiter(redis_server.url, doubt_seconds=BACK_SECONDS)) as limiter:
        assert await admitted(limiter, near)
        assert await admitted(limiter, far)
        redis_server.hang()
        waiting = [asyncio.create_task(admitted(limiter, near)) for _ in range(3)]
        assert [await admitted(limiter, far) for _ in range(3)] == [True] * 3
        assert not any(task.done() for task in waiting)
        redis_server.resume()
        assert sorted(await asyncio.gather(*waiting)) == [False, False, True]
        assert [await admitted(limiter, far) for _ in range(6)] == [True] * 5 + [False]
    assert (limiter.outages, limiter.local_decisions) == (0, 3)


async def test_call_that_redis_meets_too_late_decides_nothing(redis_server: RedisServer) -> None:
    """What a hung Redis finds in its socket was decided elsewhere long ago."""
    limits = policy(rate=0.001, burst=10, units=10)
    async with opened(build_limiter(redis_server.url)) as limiter:
        await until_shared(limiter)
        assert await admitted(limiter, limits)
        redis_server.hang()
        assert await admitted(limiter, limits)
        redis_server.resume()
        await until_shared(limiter)
        grant = await limiter.admit(limits, units=1, billed=True)
    assert grant.standing.burst_remaining == 7
    assert grant.standing.month_remaining == 7


async def test_empty_redis_is_rebuilt_from_what_the_process_knows(
    redis_server: RedisServer,
) -> None:
    """Rate, quota and places in flight are as they were."""
    limits = policy(rate=0.001, burst=6, units=9, in_flight=4)
    async with opened(build_limiter(redis_server.url, budget_seconds=PATIENT_SECONDS)) as limiter:
        for _ in range(2):
            assert await admitted(limiter, limits)
        redis_server.ask("FLUSHALL")
        standing = (await limiter.admit(limits, units=1, billed=True)).standing
        assert (standing.burst_remaining, standing.month_remaining) == (3, 6)
        assert await admitted(limiter, limits)
        assert not await admitted(limiter, limits)


async def test_restarted_redis_holds_the_leases_of_every_process(
    redis_server: RedisServer,
) -> None:
    """What one process has in flight counts for the others again."""
    url, limits = redis_server.url, policy(in_flight=3)
    async with (
        opened(build_limiter(url, budget_seconds=PATIENT_SECONDS)) as holder,
        opened(build_limiter(url, budget_seconds=PATIENT_SECONDS)) as other,
    ):
        for _ in range(3):
            assert await admitted(holder, limits)
        redis_server.kill()
        redis_server.start()
        for limiter in (holder, other):  # what was sent last is what tells that it was away
            assert await admitted(limiter, policy(tenant="ten_b"))
            await until_shared(limiter)
            await limiter.drain()
        assert not await admitted(other, limits)


async def test_redis_clock_set_forward_is_worth_nothing(redis_server: RedisServer) -> None:
    """A call that meets the jump is dropped as late, and the next one tells what was used."""
    clocks, limits = Clocks(), policy(rate=0.001, burst=3, in_flight=3)
    limiter = build_limiter(redis_server.url, redis_clocks=clocks, budget_seconds=PATIENT_SECONDS)
    async with opened(limiter):
        assert [await admitted(limiter, limits) for _ in range(3)] == [True] * 3
        clocks.advance(3600 * SECOND_US)
        redis_server.ask("CLIENT", "KILL", "TYPE", "normal")
        assert not await admitted(limiter, limits)
        await until_shared(limiter)
        for unlimited in (policy(rate=0.001, burst=3), policy(in_flight=3)):
            assert not await admitted(limiter, unlimited)


async def test_several_processes_rebuild_a_quota_together(redis_server: RedisServer) -> None:
    """Whoever comes first after the loss, the highest figure that is known counts."""
    url, limits = redis_server.url, policy(units=30)
    async with (
        opened(build_limiter(url, budget_seconds=PATIENT_SECONDS)) as early,
        opened(build_limiter(url, budget_seconds=PATIENT_SECONDS)) as late,
    ):
        assert await admitted(early, limits, units=2)
        assert await admitted(late, limits, units=8)
        redis_server.ask("FLUSHALL")
        assert await admitted(early, limits, units=5)
        grant = await late.admit(limits, units=1, billed=True)
    assert grant.standing.month_remaining == 30 - 2 - 8 - 5 - 1


async def test_restart_without_redis_goes_on_from_the_ledger(tmp_path: Path) -> None:
    """A server that starts while Redis is away grants what the month has left."""
    limiter = build_limiter(f"unix://{tmp_path}/none.sock")
    limiter.load_quota("ten_a", month_of(time.time_ns() // 1000).period, 7)
    async with opened(limiter):
        assert not limiter.is_shared
        results = [await admitted(limiter, policy(units=10)) for _ in range(4)]
    assert results == [True, True, True, False]


@pytest.mark.parametrize(
    ("limits", "total"),
    [
        (policy(rate=0.001, burst=21), 21),
        (policy(units=43), 43),
        (policy(in_flight=14), 14),
        (policy(rate=0.001, burst=3, units=3, in_flight=3), 3),
    ],
    ids=["rate", "quota", "in flight", "fewer than workers"],
)
async def test_shares_of_four_workers_are_the_limit(
    tmp_path: Path, limits: Policy, total: int
) -> None:
    """Workers that cannot ask each other grant what the limit is, together."""
    url, granted = f"unix://{tmp_path}/none.sock", 0
    for index in range(4):
        async with opened(build_limiter(url, share=Share(4, index))) as limiter:
            granted += sum([await admitted(limiter, limits) for _ in range(60)])
    assert granted == total


async def test_what_shares_admitted_is_added_up_afterwards(redis_server: RedisServer) -> None:
    """Redis learns from each worker what it granted alone, on top of what the others did."""
    limits, url = policy(rate=0.0001, burst=20), redis_server.url
    async with (
        opened(build_limiter(url, share=Share(2))) as early,
        opened(build_limiter(url, share=Share(2))) as late,
    ):
        redis_server.hang()
        for limiter in (early, late):
            assert [await admitted(limiter, limits) for _ in range(4)] == [True] * 4
        redis_server.resume()
        await until_shared(early)
        await until_shared(late)
        assert await admitted(early, limits)
        grant = await late.admit(limits, units=1, billed=True)
    assert grant.standing.burst_remaining == 20 - 2 * 4 - 2


async def test_refusal_by_a_share_names_the_limits_of_all(tmp_path: Path) -> None:
    """Callers are told their plan, not how many workers there are."""
    limits = policy(rate=0.001, burst=8)
    async with opened(build_limiter(f"unix://{tmp_path}/none.sock", share=Share(4))) as limiter:
        for _ in range(2):
            assert await admitted(limiter, limits)
        error = await refusal(limiter, limits)
    assert error.policy is limits


async def test_failed_request_gives_its_units_back_while_redis_is_away(
    redis_server: RedisServer,
) -> None:
    """The quota that Redis is told of afterwards is that of the answered requests."""
    limits = policy(units=10)
    async with opened(build_limiter(redis_server.url, budget_seconds=PATIENT_SECONDS)) as limiter:
        assert await admitted(limiter, limits)
        redis_server.kill()
        grants = [await attempt(limiter, limits, units=2) for _ in range(3)]
        assert grants[0] is not None
        assert grants[1] is not None
        limiter.release(grants[0], Outcome.FAILED)
        limiter.release(grants[0], Outcome.FAILED)
        redis_server.start()
        await until_shared(limiter)
        limiter.release(grants[1], Outcome.REFUSED)
        error = await refusal(limiter, limits, units=10)
    assert error.standing.month_remaining == 10 - 1 - 2


async def test_outage_is_told_once(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning when Redis goes, one line when it is back, and a counter."""
    caplog.set_level(logging.INFO, logger="gateway.limits")
    async with opened(build_limiter(redis_server.url, budget_seconds=PATIENT_SECONDS)) as limiter:
        for _ in range(2):
            redis_server.kill()
            for _ in range(20):
                assert await admitted(limiter, policy())
            redis_server.start()
            await until_shared(limiter)
            assert await admitted(limiter, policy())
        assert limiter.outages == 2
        assert limiter.local_decisions == 40
    levels = [record.levelname for record in caplog.records]
    assert levels == ["WARNING", "INFO", "WARNING", "INFO"]


async def test_password_of_redis_is_in_no_log(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A refused log-in is told without what was said."""
    caplog.set_level(logging.DEBUG)
    redis_server.ask("CONFIG", "SET", "requirepass", "right")
    async with opened(build_limiter(f"{redis_server.url}?password=hush-hush")) as limiter:
        assert not limiter.is_shared
        assert await admitted(limiter, policy())
    assert "WRONGPASS" in caplog.text or "invalid" in caplog.text
    assert "hush" not in caplog.text
