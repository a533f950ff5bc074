"""A month whose closing is killed again and again is closed in the end, and is whole."""

import random
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.moments import microseconds
from gateway.usage.periods import period_of
from tests.faults.kill_closings import start_closing
from tests.months import deliver_records
from tests.unit.gateway.cli.terminal import Terminal
from tests.unit.gateway.usage.conftest import record_of

LAST_US = microseconds(datetime.now(UTC).replace(day=1, hour=0) - timedelta(days=1))
LAST = period_of(LAST_US)
RECORDS = 60_000
KILLS = 20
SEED = 20261129


def close_and_kill(settings: dict[str, str], *, after_seconds: float) -> bool:
    """Close the month in a process of its own and kill it; tell whether it came to its end."""
    process = start_closing(LAST, settings)
    time.sleep(after_seconds)
    process.kill()
    return process.wait() == 0


@pytest.mark.soak
def test_month_is_whole_however_often_its_closing_is_killed(tmp_path: Path) -> None:
    """Nothing is counted twice, nothing is left out, and the audit log tells of one closing."""
    terminal = Terminal({"TOLLGATE_DATA_DIR": str(tmp_path)})
    assert terminal.run("migrate").status == 0
    records = [record_of(f"r{number:06}", occurred_at_us=LAST_US) for number in range(RECORDS)]
    deliver_records(f"sqlite:///{tmp_path / 'tollgate.db'}", records)
    moments = random.Random(SEED)  # noqa: S311 - moments, not secrets
    states = []
    for _ in range(KILLS):
        close_and_kill(terminal.settings, after_seconds=moments.uniform(0.8, 2.0))
        states.append(terminal.run("periods", "list", "--json").document["data"][0]["state"])
    assert "closing" in states
    document = terminal.run("periods", "close", str(LAST), "--json").document
    assert (document["record_count"], document["units"]) == (RECORDS, RECORDS)
    assert terminal.run("periods", "verify").status == 0
    entries = terminal.run("audit", "list", "--action", "period.close", "--json").document["data"]
    assert len(entries) == 1
