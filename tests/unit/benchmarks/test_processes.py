"""A server of the benchmark is measured while it runs and gone afterwards."""

import sys
from pathlib import Path

import httpx
import pytest

from benchmarks.processes import (
    ServerCommand,
    ServerFailed,
    cpu_seconds,
    resident_bytes,
    running,
)

SERVER = ServerCommand((sys.executable, "-m", "http.server", "{port}", "--bind", "127.0.0.1"))


def test_server_is_measured_and_then_stopped(tmp_path: Path) -> None:
    """Nothing is left listening when the block ends."""
    with running(SERVER, tmp_path / "log") as server:
        assert cpu_seconds(server.pids) > 0
        assert resident_bytes(server.pids) > 2**20
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url)


def test_server_that_exits_is_reported_with_its_log(tmp_path: Path) -> None:
    """The reason is in the message, not in a file that is gone."""
    command = ServerCommand((sys.executable, "-c", "raise SystemExit('no such model')"))
    with pytest.raises(ServerFailed, match="no such model"), running(command, tmp_path / "log"):
        pass
