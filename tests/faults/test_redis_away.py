"""Redis killed, hung, slow, empty or full under load: limits hold, and nobody waits for it."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.limits.errors import LimitError
from gateway.limits.limiter import Outcome
from gateway.limits.policy import Policy
from gateway.limits.redis_limiter import RedisLimiter
from gateway.limits.shares import Share
from gateway.limits.windows import month_of
from tests.redis_limiters import PATIENT_SECONDS, build_limiter
from tests.redis_server import RedisServer, running_redis
from tests.unit.gateway.limits.callers import admitted, attempt, policy, refusal

ROUNDS = 3
TASKS = 32
AWAY_SECONDS = 0.15
BACK_SECONDS = 10.0
SLOW_SECONDS = 0.5
ADDED_SECONDS = 0.030
RATE, BURST = 300, 20

Fault = Callable[[RedisServer], Awaitable[None]]


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """Run a Redis that the test may break."""
    with running_redis(tmp_path) as server:
        yield server


@contextlib.asynccontextmanager
async def opened(limiter: RedisLimiter) -> AsyncIterator[RedisLimiter]:
    """Open a limiter for the length of a block."""
    await limiter.open()
    try:
        yield limiter
    finally:
        await limiter.close()


async def until_shared(limiter: RedisLimiter) -> None:
    """Wait until Redis decides again."""
    async with asyncio.timeout(BACK_SECONDS):
        while not limiter.is_shared:  # noqa: ASYNC110 - nothing tells of it but the flag
            await asyncio.sleep(0.005)


@dataclass
class Load:
    """Tasks that ask without pause, and what they saw; any error but a refusal is raised."""

    limiter: RedisLimiter
    limits: Policy
    admitted: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    waits: list[float] = field(default_factory=list)
    is_over: bool = False

    async def run(self, fault: Awaitable[None]) -> float:
        """Ask for as long as the fault takes, and return that time in seconds."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(TASKS):
                tasks.create_task(self._ask())
            try:
                await fault
            finally:
                self.is_over = True
        return time.monotonic() - began

    async def _ask(self) -> None:
        while not self.is_over:
            asked = time.monotonic()
            try:
                grant = await self.limiter.admit(self.limits, units=1, billed=True)
            except LimitError:
                await asyncio.sleep(0.001)
                continue
            finally:
                self.waits.append(time.monotonic() - asked)
            self.admitted += 1
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            await asyncio.sleep(0.001)
            self.in_flight -= 1
            self.limiter.release(grant, Outcome.COMPLETED)


async def kill(server: RedisServer) -> None:
    """End Redis with SIGKILL and start an empty one."""
    server.kill()
    await asyncio.sleep(AWAY_SECONDS)
    server.start()


async def hang(server: RedisServer) -> None:
    """Stop Redis where it is, and let it go on with what it had been sent."""
    server.hang()
    await asyncio.sleep(AWAY_SECONDS)
    server.resume()


async def flush(server: RedisServer) -> None:
    """Empty Redis under the connection."""
    await asyncio.to_thread(server.ask, "FLUSHALL")


async def fill(server: RedisServer) -> None:
    """Let Redis run out of memory for a while."""
    await asyncio.to_thread(server.ask, "CONFIG", "SET", "maxmemory", 1)
    await asyncio.sleep(AWAY_SECONDS)
    await asyncio.to_thread(server.ask, "CONFIG", "SET", "maxmemory", 0)


async def forget_scripts(server: RedisServer) -> None:
    """Empty Redis' cache of scripts."""
    await asyncio.to_thread(server.ask, "SCRIPT", "FLUSH", "SYNC")


every_fault = pytest.mark.parametrize("fault", [kill, hang, flush, fill, forget_scripts])


async def repeat(fault: Fault, server: RedisServer, limiter: RedisLimiter) -> None:
    """Break Redis some times, and let it decide in between."""
    for _ in range(ROUNDS):
        await asyncio.sleep(AWAY_SECONDS)
        await fault(server)
        await until_shared(limiter)


@every_fault
async def test_rate_is_never_exceeded(redis_server: RedisServer, fault: Fault) -> None:
    """The meter goes over to the process and back; no fault is worth a second burst."""
    async with opened(build_limiter(redis_server.url)) as limiter:
        load = Load(limiter, policy(rate=RATE, burst=BURST))
        seconds = await load.run(repeat(fault, redis_server, limiter))
    assert load.admitted <= BURST + RATE * seconds + 1
    assert load.admitted >= 0.7 * RATE * seconds


@every_fault
async def test_quota_is_never_exceeded(redis_server: RedisServer, fault: Fault) -> None:
    """Units used in Redis count locally, and units used locally count in Redis."""
    limits = policy(units=100_000)
    async with opened(build_limiter(redis_server.url)) as limiter:
        load = Load(limiter, limits)
        await load.run(repeat(fault, redis_server, limiter))
        left = (await limiter.admit(limits, units=1, billed=True)).standing.month_remaining
    assert left <= 100_000 - load.admitted - 1
    assert left >= 100_000 - load.admitted - 1 - ROUNDS * TASKS


@every_fault
async def test_cap_in_flight_is_never_exceeded(redis_server: RedisServer, fault: Fault) -> None:
    """Leases of both sides count together, and none is left behind."""
    limits = policy(in_flight=10)
    async with opened(build_limiter(redis_server.url)) as limiter:
        load = Load(limiter, limits)
        await load.run(repeat(fault, redis_server, limiter))
        await until_shared(limiter)
        assert [await admitted(limiter, limits) for _ in range(11)] == [True] * 10 + [False]
    assert load.most_in_flight == 10


@every_fault
async def test_nobody_waits_for_redis(redis_server: RedisServer, fault: Fault) -> None:
    """The budget is spent by the callers of one call; the others are decided at once."""
    async with opened(build_limiter(redis_server.url)) as limiter:
        load = Load(limiter, policy(rate=1e6, units=10**9, in_flight=1000))
        await load.run(repeat(fault, redis_server, limiter))
    waits = sorted(load.waits)
    assert waits[int(0.99 * len(waits))] <= ADDED_SECONDS


@contextlib.asynccontextmanager
async def slow_redis(server: RedisServer, folder: Path) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """Stand between, and answer late for as long as the event is set."""
    is_slow = asyncio.Event()
    open_writers: list[asyncio.StreamWriter] = []

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                if is_slow.is_set():
                    await asyncio.sleep(SLOW_SECONDS)
                writer.write(data)
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = server.url.removeprefix("unix://")
        behind_reader, behind_writer = await asyncio.open_unix_connection(path)
        open_writers.extend([writer, behind_writer])
        await asyncio.gather(copy(reader, behind_writer), copy(behind_reader, writer))

    path = folder / "slow.sock"
    proxy = await asyncio.start_unix_server(connect, path)
    try:
        yield f"unix://{path}", is_slow
    finally:
        proxy.close()
        for writer in open_writers:
            writer.close()
        await asyncio.sleep(2 * SLOW_SECONDS)


async def test_slow_redis_is_left_alone(redis_server: RedisServer, tmp_path: Path) -> None:
    """A Redis that answers after half a second costs one budget, and the limit holds."""
    async with slow_redis(redis_server, tmp_path) as (url, is_slow):
        async with opened(build_limiter(url)) as limiter:
            load = Load(limiter, policy(rate=RATE, burst=BURST))

            async def slow_down() -> None:
                await asyncio.sleep(AWAY_SECONDS)
                is_slow.set()
                await asyncio.sleep(3 * SLOW_SECONDS)
                assert not limiter.is_shared
                is_slow.clear()
                await until_shared(limiter)

            seconds = await load.run(slow_down())
        waits = sorted(load.waits)
    assert waits[int(0.99 * len(waits))] <= ADDED_SECONDS
    assert load.admitted <= BURST + RATE * seconds + 1


async def test_call_that_redis_meets_too_late_decides_nothing(redis_server: RedisServer) -> None:
    """What a hung Redis finds in its socket was decided elsewhere long ago."""
    limits = policy(rate=0.001, burst=10, units=10)
    async with opened(build_limiter(redis_server.url)) as limiter:
        assert await admitted(limiter, limits)
        redis_server.hang()
        assert await admitted(limiter, limits)
        assert limiter.local_decisions == 1
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


async def test_each_worker_grants_its_share(tmp_path: Path) -> None:
    """Four workers that cannot ask each other grant no more than the limit together."""
    limits = policy(rate=0.001, burst=20, units=40, in_flight=12)
    url = f"unix://{tmp_path}/none.sock"
    for _ in range(4):
        async with opened(build_limiter(url, share=Share(4))) as limiter:
            grants = [await attempt(limiter, limits) for _ in range(20)]
            assert [grant is not None for grant in grants] == [True] * 3 + [False] * 17
            for grant in grants[:3]:
                assert grant is not None
                limiter.release(grant, Outcome.COMPLETED)
            assert [await admitted(limiter, limits) for _ in range(3)] == [True, True, False]


async def test_failed_request_gives_its_units_back_while_redis_is_away(
    redis_server: RedisServer,
) -> None:
    """The quota that Redis is told of afterwards is that of the answered requests."""
    limits = policy(units=10)
    async with opened(build_limiter(redis_server.url)) as limiter:
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
    async with opened(build_limiter(redis_server.url)) as limiter:
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
