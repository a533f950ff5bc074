"""A sender of usage that is killed: in the end the billing system has the ledger, by id."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from gateway.database import create_engine
from gateway.usage.ledger import Ledger
from gateway.usage.segment_file import Segments
from tests.billing_receiver import BillingReceiver, running_billing_receiver
from tests.serving import ROOT
from tests.unit.gateway.usage.conftest import record_of

RECORDS = 150
SECONDS = 60.0


async def fill(database_url: str) -> None:
    """Put records into the ledger."""
    engine = create_engine(database_url)
    records = [record_of(f"r{n:04}", units=n) for n in range(RECORDS)]
    segments = Segments(1, 1, orjson.dumps([tuple(one) for one in records]).decode(), RECORDS)
    await Ledger(engine).take("j", segments, position=1, complete_through_us=0)
    await engine.dispose()


def start(tmp_path: Path, database_url: str) -> subprocess.Popen[bytes]:
    """Start the command."""
    settings = {
        "TOLLGATE_DATABASE_URL": database_url,
        "TOLLGATE_DATA_DIR": str(tmp_path / "var"),
        "TOLLGATE_DELIVERIES": str(tmp_path / "destinations.toml"),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "gateway.cli", "usage", "send", "--to", "there"],
        cwd=ROOT,
        env=os.environ | settings,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


def kill_after(sender: subprocess.Popen[bytes], receiver: BillingReceiver, taken: int) -> None:
    """Kill the command once so much was taken, or it is through."""
    deadline = time.monotonic() + SECONDS
    while len(receiver.taken) < taken and sender.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    sender.send_signal(signal.SIGKILL)
    sender.wait()


async def send_with_kills(tmp_path: Path, database_url: str, *, kills: int) -> None:
    """Kill the command now and again, then let it finish, and compare."""
    await fill(database_url)
    chance = random.Random(5)  # noqa: S311 - no secret
    with running_billing_receiver() as receiver:
        (tmp_path / "destinations.toml").write_text(
            f'[there]\nkind = "cloudevents"\nurl = "{receiver.url}"\nbatch = 1\n'
            "timeout_seconds = 0.5\n"
        )
        for number in range(kills):
            sender = start(tmp_path, database_url)
            kill_after(sender, receiver, number * RECORDS // kills + chance.randint(1, 9))
        assert start(tmp_path, database_url).wait(SECONDS) == 0
        units = {name: event["data"]["units"] for name, event in receiver.by_id().items()}
    assert units == {f"r{n:04}": n for n in range(RECORDS)}


async def test_killed_sender_goes_on(tmp_path: Path, migrated_sqlite: str) -> None:
    """What was cut off is sent again, and nothing is left out."""
    await send_with_kills(tmp_path, migrated_sqlite, kills=1)


@pytest.mark.soak
async def test_sender_that_is_killed_often_goes_on(tmp_path: Path, database_url: str) -> None:
    """The same, twenty times."""
    await send_with_kills(tmp_path, database_url, kills=20)
