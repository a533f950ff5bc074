"""A month is closed over HTTP while traffic crosses its end: every record is in one month.

The servers' clock is moved, so that the month ends while they serve.
"""

import asyncio
import datetime as dt
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from tests.faults.preloaded import WallClock
from tests.load import ClientLog, Pace, run_load
from tests.population import populate
from tests.redis_server import running_redis
from tests.serving import free_port
from tests.stack import Stack
from tests.unit.gateway.cli.terminal import Terminal

WORKERS = 2
REQUESTS_PER_SECOND = 100
LOAD_SECONDS = 12
BEFORE_SECONDS = 3.0
"""From the moment when the load is under way to the end of the month."""

CLOSE_SECONDS = 30.0
DAY_SECONDS = 86_400


def end_of_month() -> dt.datetime:
    """Return the next one, in UTC."""
    today = dt.datetime.now(dt.UTC).date().replace(day=1)
    following = (today + dt.timedelta(days=32)).replace(day=1)
    return dt.datetime.combine(following, dt.time(), dt.UTC)


def period_before(moment: dt.datetime) -> str:
    """Name the month that ends then."""
    return (moment - dt.timedelta(days=1)).strftime("%Y%m")


async def cross_midnight(
    stack: Stack, clock: WallClock, end: dt.datetime
) -> tuple[ClientLog, dict[str, object]]:
    """Serve over the end of the month, and have it closed meanwhile."""
    callers = await asyncio.to_thread(populate, stack, tenants=3, keys_each=2)
    pace = Pace(LOAD_SECONDS * REQUESTS_PER_SECOND, per_second=REQUESTS_PER_SECOND)
    load = asyncio.create_task(
        run_load(stack.port, callers, stack.demo["example"], connections=8, pace=pace)
    )
    await asyncio.sleep(BEFORE_SECONDS)
    clock.set(end.timestamp() - BEFORE_SECONDS)
    path, statuses = f"/v1/periods/{period_before(end)}/close", []
    async with asyncio.timeout(CLOSE_SECONDS):
        while True:
            answer = await asyncio.to_thread(
                stack.call, "POST", path, key=stack.demo["admin_key"], body={}
            )
            statuses.append(answer.status)
            if answer.status == 200:
                break
            await asyncio.sleep(0.2)
    assert not load.done()
    assert statuses[0] == 409  # the month was not over
    return await load, answer.body


def test_every_record_is_in_the_month_in_which_it_was_made(tmp_path: Path) -> None:
    """Nothing is in none or in two, the closed month is verified, and the next has the rest."""
    for name in ("redis", "data", "clock"):
        (tmp_path / name).mkdir()
    clock, end = WallClock(tmp_path / "clock"), end_of_month()
    clock.set(max(time.time(), end.timestamp() - DAY_SECONDS))
    with running_redis(tmp_path / "redis") as redis:
        settings = {"TOLLGATE_REDIS_URL": redis.url} | clock.settings
        stack = Stack(tmp_path / "data", free_port(), workers=WORKERS, settings=settings)
        stack.start()
        try:
            log, closed = asyncio.run(cross_midnight(stack, clock, end))
        finally:
            assert stack.stop() == 0
    assert log.failures == {}
    with closing(sqlite3.connect(tmp_path / "data" / "tollgate.db")) as ledger:
        found = ledger.execute(
            "SELECT request_id, occurred_at_us, period FROM usage_records WHERE corrects = ''"
        ).fetchall()
    assert sorted(row[0] for row in found) == log.served_ids
    end_us = int(end.timestamp()) * 1_000_000
    following = end.strftime("%Y%m")
    for _, occurred_at_us, period in found:
        assert str(period) == (period_before(end) if occurred_at_us < end_us else following)
    before = sum(occurred_at_us < end_us for _, occurred_at_us, _ in found)
    assert closed["record_count"] == before
    assert 0 < before < len(found)
    terminal = Terminal({"TOLLGATE_DATA_DIR": str(tmp_path / "data")} | clock.settings)
    clock.set(end.timestamp() + 40 * DAY_SECONDS)
    done = terminal.run_apart("periods", "close", following, "--json")
    assert done.document["record_count"] == len(found) - before
    assert terminal.run_apart("periods", "verify").status == 0
