"""The limiter in Redis keeps the contract on a real server, alone and shared by several."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.limiter import Grant, Limiter, Outcome
from gateway.limits.local_limiter import LocalLimiter
from gateway.limits.policy import Policy, Standing
from gateway.limits.redis_address import RedisAddress, RedisUrlInvalid
from gateway.limits.redis_limiter import RedisLimiter
from gateway.limits.windows import month_of
from tests.redis_limiters import Makers, makers_on, next_prefix
from tests.redis_server import RedisServer, running_redis
from tests.unit.gateway.limits.callers import (
    LEASE_SECONDS,
    NOVEMBER,
    SECOND_US,
    Clocks,
    admitted,
    attempt,
    policy,
)
from tests.unit.gateway.limits.limiter_contract import LimiterContract, law


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Run one Redis for this module."""
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
async def makers(server: RedisServer) -> AsyncIterator[Makers]:
    """Return what makes limiters."""
    async with makers_on(server.url) as makers:
        yield makers


class TestRedisLimiter(LimiterContract):
    """The contract, decided by a real Redis on fake clocks."""

    @pytest.fixture(autouse=True)
    def _use(self, makers: Makers) -> None:
        self._makers = makers

    async def make(self, clocks: Clocks) -> Limiter:
        """Return an empty limiter."""
        return await self._makers.make(clocks)

    @law
    @given(moment=st.datetimes(datetime(1971, 1, 1), datetime(2200, 12, 31)))  # noqa: DTZ001 (hypothesis wants naive bounds)
    async def test_month_is_the_calendars(self, moment: datetime) -> None:
        """The script's calendar agrees with Python's, leap years included."""
        moment_us = int(moment.replace(tzinfo=UTC).timestamp()) * SECOND_US
        limiter = await self._makers.make(Clocks(wall_us=moment_us))
        grant = await limiter.admit(policy(units=5), units=1, billed=True)
        month = month_of(moment_us)
        left_seconds = -(-(month.end_us - moment_us) // SECOND_US)
        assert grant.standing.month_reset_seconds == left_seconds

    @law
    @given(data=st.data())
    async def test_decides_as_the_local_limiter_does(self, data: st.DataObject) -> None:
        """The same calls in the same order meet the same answers, to the last header."""
        clocks = Clocks()
        local = LocalLimiter(
            monotonic_ns=clocks.monotonic_ns, wall_ns=clocks.wall_ns, lease_seconds=LEASE_SECONDS
        )
        shared = await self._makers.make(clocks)
        limits = policy(
            rate=data.draw(st.sampled_from([None, 0.7, 3.0])),
            burst=data.draw(st.integers(1, 4)),
            units=data.draw(st.sampled_from([None, 0, 12])),
            in_flight=data.draw(st.sampled_from([None, 1, 3])),
        )
        held: list[tuple[Grant, Grant]] = []
        for _ in range(data.draw(st.integers(1, 30))):
            clocks.advance(data.draw(st.integers(0, 2 * SECOND_US)))
            ends_one: bool = data.draw(st.booleans())
            if held and ends_one:
                pair = held.pop(data.draw(st.integers(0, len(held) - 1)))
                outcome = data.draw(st.sampled_from(list(Outcome)))
                local.release(pair[0], outcome)
                shared.release(pair[1], outcome)
                await shared.drain()  # it takes effect when Redis hears of it
                continue
            units = data.draw(st.integers(0, 4))
            ours = await attempt(local, limits, units=units)
            theirs = await attempt(shared, limits, units=units)
            assert (ours is None) == (theirs is None)
            if ours and theirs:
                assert ours.standing == theirs.standing
                held.append((ours, theirs))


async def race(limiters: list[RedisLimiter], policies: list[Policy], attempts: int) -> int:
    """Let every limiter try every policy at once and count what got in."""
    results = await asyncio.gather(
        *(
            admitted(limiter, limits)
            for _ in range(attempts)
            for limiter in limiters
            for limits in policies
        )
    )
    return sum(results)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (policy(rate=0.001, burst=50), 50),
        (policy(units=70), 70),
        (policy(in_flight=30), 30),
        (policy(rate=0.001, burst=90, units=80, in_flight=60), 60),
    ],
    ids=["rate", "quota", "in flight", "all"],
)
async def test_several_limiters_admit_exactly_the_limit(
    makers: Makers, limits: Policy, expected: int
) -> None:
    """Four connections that ask for more than there is get what there is, in sum."""
    prefix = next_prefix()
    limiters = [await makers.make(None, prefix=prefix) for _ in range(4)]
    assert await race(limiters, [limits], attempts=100) == expected


async def test_keys_of_one_tenant_share_its_quota_in_one_call(makers: Makers) -> None:
    """Callers of one batch see what the ones before them took."""
    limiter = await makers.make(None)
    policies = [policy(key=f"key_{number}", rate=0.001, burst=2, units=50) for number in range(40)]
    assert await race([limiter], policies, attempts=3) == 50


@law
@given(data=st.data())
async def test_released_places_are_taken_again_and_never_twice(
    server: RedisServer, data: st.DataObject
) -> None:
    """With two limiters and any order of calls, in flight is what the cap says."""
    async with makers_on(server.url) as makers:
        prefix, cap = next_prefix(), data.draw(st.integers(1, 4))
        limiters = [await makers.make(None, prefix=prefix) for _ in range(2)]
        held: list[tuple[RedisLimiter, Grant]] = []
        for _ in range(data.draw(st.integers(1, 25))):
            ends_one: bool = data.draw(st.booleans())
            if held and ends_one:
                owner, grant = held.pop()
                owner.release(grant, Outcome.COMPLETED)
                await owner.drain()
                continue
            limiter = limiters[data.draw(st.integers(0, 1))]
            admission = await attempt(limiter, policy(in_flight=cap))
            assert (admission is None) == (len(held) >= cap)
            if admission:
                held.append((limiter, admission))


async def test_restarted_process_meets_its_old_counters(makers: Makers) -> None:
    """The ledger's figure is not added to what Redis has counted already."""
    prefix = next_prefix()
    first = await makers.make(None, prefix=prefix)
    for _ in range(6):
        assert await admitted(first, policy(units=10))
    second = await makers.make(None, prefix=prefix)
    second.load_quota("ten_a", month_of(time.time_ns() // 1000).period, 4)
    assert await race([second], [policy(units=10)], attempts=20) == 4


async def test_cancelled_caller_leaves_nothing_behind(makers: Makers) -> None:
    """A caller that goes away while its call travels gives back all it got."""
    limiter = await makers.make(None)
    limits = policy(rate=0.001, burst=1, units=1, in_flight=1)
    task = asyncio.create_task(limiter.admit(limits, units=1, billed=True))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await limiter.drain()
    assert await admitted(limiter, limits)


async def test_keys_of_a_tenant_carry_its_hash_tag(makers: Makers, server: RedisServer) -> None:
    """A cluster keeps a tenant on one node, and hostile ids stay inside their tag."""
    prefix = next_prefix()
    limiter = await makers.make(None, prefix=prefix)
    limits = policy(tenant="a}:{b\n*", key="k:{}", rate=1.0, units=5, in_flight=2)
    assert await admitted(limiter, limits)
    tag = f"{prefix}:{{a%7D%3A%7Bb%0A%2A}}:"
    expected = {f"{tag}meter:k%3A%7B%7D", f"{tag}units", f"{tag}leases"}
    assert {key.decode() for key in server.ask("KEYS", f"{prefix}:{{*")} == expected


async def test_every_key_expires(makers: Makers, server: RedisServer) -> None:
    """Tenants that never come back do not fill Redis."""
    prefix = next_prefix()
    limiter = await makers.make(None, prefix=prefix)
    assert await admitted(limiter, policy(rate=1.0, units=5, in_flight=2))
    keys = server.ask("KEYS", f"{prefix}:{{*")
    assert len(keys) == 3
    assert all(server.ask("PTTL", key.decode()) > 0 for key in keys)


async def test_old_months_are_forgotten(makers: Makers, server: RedisServer) -> None:
    """A tenant's hash of units holds the recent periods alone."""
    prefix, clocks = next_prefix(), Clocks()
    limiter = await makers.make(clocks, prefix=prefix)
    for _ in range(8):
        assert await admitted(limiter, policy(units=5))
        clocks.wall_us += 31 * 86_400 * SECOND_US
    fields = [
        field for field in server.ask("HKEYS", f"{prefix}:{{ten_a}}:units") if field.isdigit()
    ]
    assert len(fields) <= 4


async def test_clock_set_back_costs_one_burst_at_most(makers: Makers) -> None:
    """After a jump back of Redis' clock a key waits for its burst, not for an hour."""
    clocks = Clocks()
    limiter = await makers.make(clocks)
    limits = policy(rate=1.0, burst=3)
    assert [await admitted(limiter, limits) for _ in range(4)] == [True, True, True, False]
    clocks.advance(-3600 * SECOND_US)
    assert not await admitted(limiter, limits)
    clocks.advance(SECOND_US)
    assert [await admitted(limiter, limits) for _ in range(2)] == [True, False]


async def test_grant_of_another_limiter_is_a_bug(makers: Makers) -> None:
    """A foreign grant is refused loudly, or its place would stay taken in silence."""
    limiter = await makers.make(None)
    with pytest.raises(TypeError):
        limiter.release(Grant(policy(), Standing(0, 0, 0, 0)), Outcome.COMPLETED)


async def test_ledger_never_lowers_what_redis_counted(makers: Makers) -> None:
    """The ledger is behind by what is being shipped."""
    limiter = await makers.make(Clocks())
    for _ in range(4):
        assert await admitted(limiter, policy(units=5))
    limiter.load_quota("ten_a", NOVEMBER, 1)
    assert await race([limiter], [policy(units=5)], attempts=5) == 1


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost", "redis://h?db=x", ""])
def test_url_that_is_none_is_refused(url: str) -> None:
    """At the start, and without repeating a password."""
    with pytest.raises(RedisUrlInvalid):
        RedisAddress(url)
