"""Months that are closed while everything is killed: the closing itself, and what it works on."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from gateway.moments import microseconds
from gateway.usage.periods import period_of
from tests.months import deliver_records
from tests.serving import ROOT
from tests.stack import Stack
from tests.unit.gateway.cli.terminal import Terminal
from tests.unit.gateway.usage.conftest import record_of

RECORDS_EACH = 5_000
_BEGIN_SECONDS = 30.0
_MOST_SECONDS = 0.5
"""How long after a month is closing the blow may fall."""

_MOST_SECONDS_AGAIN = 3.0
"""The same for one that was closing already; the command takes a second to start."""

_POLL_SECONDS = 0.02


def start_closing(period: int, settings: dict[str, str]) -> subprocess.Popen[bytes]:
    """Close a month in a process of its own, which can be killed."""
    return subprocess.Popen(
        [sys.executable, "-m", "gateway.cli", "periods", "close", str(period)],
        cwd=ROOT,
        env=os.environ | settings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@dataclass
class Closings:
    """Past months with records of their own, closed one after the other."""

    stack: Stack
    ask: Callable[[str], list[tuple[object, ...]]]
    periods: list[int] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    def plant(self, count: int) -> int:
        """Put records of so many past months on the bill; answer how many records."""
        moment = datetime.now(UTC).replace(day=1, hour=12)
        for _ in range(count):
            moment = (moment - timedelta(days=1)).replace(day=1)
            occurred_at_us = microseconds(moment)
            self.periods.insert(0, period_of(occurred_at_us))
            records = [
                record_of(f"past-{self.periods[0]}-{number}", occurred_at_us=occurred_at_us)
                for number in range(RECORDS_EACH)
            ]
            url = self.stack.settings["TOLLGATE_DATABASE_URL"]
            deliver_records(url, records, journal_id=f"past-{self.periods[0]}")
        return count * RECORDS_EACH

    def begin(self, moments: random.Random) -> bool:
        """Begin to close the next month and wait for a moment in it; False if none is left."""
        states = self._states()
        left = [period for period in self.periods if states.get(period) != "closed"]
        if not left:
            return False
        most = _MOST_SECONDS_AGAIN if left[0] in states else _MOST_SECONDS
        self.process = start_closing(left[0], self._terminal().settings)
        given_up_at = time.monotonic() + _BEGIN_SECONDS
        while self.process.poll() is None and left[0] not in self._states():
            assert time.monotonic() < given_up_at, f"{left[0]} is not closing"
            time.sleep(_POLL_SECONDS)
        time.sleep(moments.uniform(0.0, most))
        return True

    def kill(self) -> bool:
        """Kill the closing that is under way; tell whether there was one."""
        assert self.process is not None
        self.process.kill()
        return self.process.wait() != 0

    def wait(self) -> None:
        """Let the closing come to its end, whatever that is."""
        assert self.process is not None
        self.process.wait()

    def finish(self) -> None:
        """Close what is left, and hold every month against what was planted."""
        for period in self.periods:
            closed = self._terminal().run_apart("periods", "close", str(period), "--json")
            assert closed.status == 0, closed.err
            assert closed.document["state"] == "closed"
            assert closed.document["record_count"] == RECORDS_EACH
            assert closed.document["units"] == RECORDS_EACH
        assert self._terminal().run_apart("periods", "verify").status == 0
        told = self._terminal().run_apart("audit", "list", "--action", "period.close", "--json")
        assert len(told.document["data"]) == len(self.periods)

    def _states(self) -> dict[object, object]:
        rows = self.ask("SELECT period, state FROM usage_periods")
        return {row[0]: row[1] for row in rows}

    def _terminal(self) -> Terminal:
        own = {"TOLLGATE_DATA_DIR": str(self.stack.data_dir)}
        return Terminal(self.stack.settings | own)
