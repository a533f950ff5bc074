"""Workers, the server, Redis, PostgreSQL and closings are killed at random under load: I1-I5, I8.

The load comes through Nginx; in the end its log, the limiter, the journals and the ledger agree.

TOLLGATE_SOAK_KILLS says how many kills the long run makes (1,000 by default), and
TOLLGATE_SOAK_REPORT where it leaves its report.
"""

import asyncio
import contextlib
import json
import os
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import pytest

from tests.faults.kill_closings import Closings
from tests.faults.kill_load import LANES, UNKNOWN, KillLoad
from tests.fronted import NO_ADDRESS_LIMITS, Front, running_front
from tests.load import Caller
from tests.population import make_caller, make_plan, make_tenant
from tests.postgres_server import PostgresServer, name_of
from tests.redis_server import RedisServer, running_redis
from tests.stack import Stack

KINDS = {"redis": 32, "postgres": 29, "worker": 25, "server": 6, "closing": 8}
"""What is killed, and how often of a hundred; a worker takes seconds of CPU to start again."""

KILLS_EACH = 40
"""How many kills there are for each month that is to be closed."""

PEACE = 0.4
"""How often a closing is not killed itself, but loses its database."""

SECOND_SHARE = 0.25
"""How often something else is killed before the first is back: during adoption, in a commit."""

MOST_WAIT_SECONDS = 0.4
ENOUGH = 8
RECOVERY_SECONDS = 60.0
LITTLE_SECONDS = 3.0
CHECK_EVERY = 50
SEED = 20261129
LIMITS = {"units_per_month": 100_000_000, "max_in_flight": 1000}
"""That nobody reaches: they are there to be counted."""

_ANSWERS = "SELECT count(*), sum(rows), sum(units) FROM usage_records WHERE corrects = ''"


@dataclass
class Report:
    """What a run did and found."""

    kills: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    longest_recovery_seconds: float = 0.0
    served: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    replays: int = 0
    without_an_answer: int = 0
    """Attempts that nobody answered: most of them found no server."""

    unknown: int = 0
    """Of these, those that had reached a worker: they may be on the bill."""

    records: int = 0
    records_without_an_answer: int = 0
    checks: int = 0
    compared: int = 0
    """Answers in Nginx's log that were compared with the other accounts."""

    explained: dict[str, int] = field(default_factory=dict)
    differences: dict[str, int] = field(default_factory=dict)


@dataclass
class Machine:
    """Everything that can be killed."""

    front: Front
    redis: RedisServer
    postgres: PostgresServer
    closings: Closings
    report: Report = field(default_factory=Report)
    sequence: int = 0
    ids: set[str] = field(default_factory=set)

    @property
    def stack(self) -> Stack:
        """Return what stands behind Nginx."""
        return self.front.stack

    def kill(self, kind: str, moments: random.Random) -> bool:
        """Kill one thing, and start again what does not start itself; False if it was not there."""
        if kind == "closing":
            return self._disturb_closing(moments)
        if kind == "worker":
            pids = self.stack.worker_pids()
            with contextlib.suppress(ProcessLookupError):
                self.stack.kill_worker(moments.choice(pids or [0]) or 2**22)
                return True
            return False
        if kind == "redis":
            self.redis.kill()
            self.redis.start()
        elif kind == "postgres":
            self.postgres.kill()
            self.postgres.start()
        else:
            self.stack.kill()
            self.stack.begin()
        return True

    def ask(self, statement: str) -> list[tuple[object, ...]]:
        """Ask the ledger's database."""
        return self.closings.ask(statement)

    def _disturb_closing(self, moments: random.Random) -> bool:
        """Kill a closing at some moment of it, or its database under it."""
        if not self.closings.begin(moments):
            return False
        if moments.random() > PEACE:
            return self.closings.kill()
        self.kill("postgres", moments)
        self.closings.wait()
        return True


@pytest.fixture
def machine(tmp_path: Path, own_postgres: PostgresServer) -> Iterator[Machine]:
    """Run three workers on Redis and PostgreSQL of their own."""
    url = own_postgres.create_database()
    ask = partial(own_postgres.ask, database=name_of(url))
    (tmp_path / "redis").mkdir()
    with running_redis(tmp_path / "redis") as redis:
        settings = {"redis_url": redis.url, "database_url": url}
        with running_front(
            tmp_path, workers=3, settings=settings, nginx=NO_ADDRESS_LIMITS
        ) as front:
            yield Machine(front, redis, own_postgres, Closings(front.stack, ask))


def make_callers(stack: Stack) -> list[Caller]:
    """Make three tenants whose units are counted, with two keys each."""
    plan_id = make_plan(stack, **LIMITS)
    tenant_ids = [make_tenant(stack, plan_id) for _ in range(3)]
    return [make_caller(stack, tenant_id) for tenant_id in tenant_ids for _ in range(2)]


def keep_running(machine: Machine) -> None:
    """Start a server again that found no database when it started, as whatever watches it does."""
    if machine.stack.has_ended:
        machine.stack.begin()


async def until_served(load: KillLoad, machine: Machine) -> None:
    """Wait until answers come again, and note how long that took."""
    began, enough = time.monotonic(), len(load.log.served) + ENOUGH
    while len(load.log.served) < enough:
        assert time.monotonic() - began < RECOVERY_SECONDS, machine.stack.log()[-4000:]
        await asyncio.sleep(0.01)
        keep_running(machine)
    took = time.monotonic() - began
    machine.report.longest_recovery_seconds = max(machine.report.longest_recovery_seconds, took)


async def kill_once(load: KillLoad, machine: Machine, moments: random.Random) -> None:
    """Kill one thing at a random moment, sometimes another at once, and wait for answers."""
    await asyncio.sleep(moments.uniform(0.0, MOST_WAIT_SECONDS))
    kinds = moments.choices(list(KINDS), list(KINDS.values()), k=2)
    for kind in kinds if moments.random() < SECOND_SHARE else kinds[:1]:
        if await asyncio.to_thread(machine.kill, kind, moments):
            machine.report.kills[kind] = machine.report.kills.get(kind, 0) + 1
        await asyncio.sleep(moments.uniform(0.0, MOST_WAIT_SECONDS / 4))
    await until_served(load, machine)


def read_on(machine: Machine, load: KillLoad) -> None:
    """Compare what was added to the ledger with what the clients saw; numbers have no gap."""
    rows = machine.ask(
        "SELECT sequence, outcome, request_id, tenant_id, key_id, model, version, rows, units"  # noqa: S608 - a number
        f" FROM usage_records WHERE sequence > {machine.sequence}"
        " ORDER BY sequence"
    )
    for sequence, outcome, request_id, tenant_id, key_id, model, version, count, units in rows:
        machine.sequence += 1
        assert sequence == machine.sequence
        if outcome == "lost":  # a note on an answer that is billed
            continue
        name = str(request_id)
        assert name not in machine.ids, f"{name} is billed twice"
        assert name not in load.log.refused, f"{name} was refused and is billed"
        machine.ids.add(name)
        seen = load.log.served.get(name)
        if seen is not None:
            expected = (seen.tenant_id, seen.key_id, "housing", "1", seen.rows, seen.rows)
            assert (tenant_id, key_id, model, version, count, units) == expected


def check(machine: Machine, load: KillLoad) -> None:
    """Wait until everything that was answered is billed, and compare all of it."""
    served = set(load.log.served)

    def is_delivered() -> bool:
        keep_running(machine)
        read_on(machine, load)
        return served <= machine.ids

    machine.stack.wait_until(is_delivered, "everything answered is billed")
    sums = "sum(requests), sum(rows), sum(units)"
    [hours] = machine.ask(f"SELECT {sums} FROM usage_hours")  # noqa: S608 - our own names
    [records] = machine.ask(_ANSWERS)
    assert machine.ask("SELECT count(*) FROM usage_conflicts") == [(0,)]
    assert hours == records or hours[0] != records[0]  # a delivery may fall between the two
    assert load.log.billed_twice == []
    machine.report.checks += 1


async def kill_under_load(machine: Machine, kills: int) -> KillLoad:
    """Make so many kills, comparing the bill now and then, and return the load that saw them."""
    moments = random.Random(SEED)  # noqa: S311 - moments, not secrets
    callers = await asyncio.to_thread(make_callers, machine.stack)
    machine.sequence = await asyncio.to_thread(machine.closings.plant, max(1, kills // KILLS_EACH))
    load, began = KillLoad(machine.front, callers), time.monotonic()
    running = asyncio.create_task(load.run())
    await until_served(load, machine)
    next_check = CHECK_EVERY
    while (made := sum(machine.report.kills.values())) < kills:
        await kill_once(load, machine, moments)
        if made >= next_check:
            next_check += CHECK_EVERY
            await asyncio.to_thread(check, machine, load)
            print(f"{made} kills after {time.monotonic() - began:.0f} s", flush=True)  # noqa: T201
    load.stop()
    await running
    machine.report.seconds = time.monotonic() - began
    return load


async def ask_a_little(load: KillLoad) -> None:
    """Let every worker that is new tell Redis what is billed of each tenant."""
    running = asyncio.create_task(load.run())
    await asyncio.sleep(LITTLE_SECONDS)
    load.stop()
    await running


def reconcile(machine: Machine) -> None:
    """Compare Nginx's log, the limiter, the journals and the ledger as an operator would."""
    told = machine.front.reconcile("--json").document
    for one in told["data"]:
        kinds = machine.report.explained if one["is_explained"] else machine.report.differences
        kinds[one["kind"]] = kinds.get(one["kind"], 0) + 1
    machine.report.compared = told["answers"]


def count_unknown(machine: Machine) -> int:
    """Count the requests that Nginx had sent to a worker, and of which it never heard."""
    return sum(
        line["status"] == UNKNOWN and line["upstream_connect_seconds"] != "-"
        for line in machine.front.nginx.access_log()
    )


def finish(machine: Machine, load: KillLoad) -> Report:
    """Start and stop once more, and compare everything for the last time."""
    report, log = machine.report, load.log
    machine.stack.kill()
    machine.stack.start()
    asyncio.run(ask_a_little(load))
    check(machine, load)
    machine.closings.finish()
    machine.front.wait_for_the_bill()
    reconcile(machine)
    assert machine.stack.stop() == 0
    read_on(machine, load)
    [hours] = machine.ask("SELECT sum(requests), sum(rows), sum(units) FROM usage_hours")
    assert [hours] == machine.ask(_ANSWERS)
    report.served, report.records = len(log.served), len(machine.ids)
    report.records_without_an_answer = len(machine.ids - set(log.served))
    report.statuses, report.replays = dict(log.statuses), log.replays
    report.without_an_answer = log.broken
    report.unknown = count_unknown(machine)
    print(json.dumps(asdict(report)))  # noqa: T201 - the run's own report
    return report


def hold(machine: Machine, kills: int) -> None:
    """Make the kills, write the report, and say whether the invariants held."""
    load = asyncio.run(kill_under_load(machine, kills))
    report = finish(machine, load)
    kept = os.environ.get("TOLLGATE_SOAK_REPORT")
    if kept:
        Path(kept).write_text(json.dumps(asdict(report), indent=2))
    processes = report.kills.get("worker", 0) + report.kills.get("server", 0)
    assert report.unknown <= LANES * processes
    assert report.records_without_an_answer <= min(report.unknown, load.log.lost)
    assert set(report.statuses) <= {200, 409, 503}
    assert report.differences == {}


def test_few_kills_of_everything_lose_and_double_nothing(machine: Machine) -> None:
    """Every answer is on the bill once, whatever was killed when."""
    hold(machine, 6)


@pytest.mark.soak
def test_thousand_kills_of_everything_lose_and_double_nothing(machine: Machine) -> None:
    """The same, a thousand times."""
    hold(machine, int(os.environ.get("TOLLGATE_SOAK_KILLS", "1000")))
