"""Drive wrk, the load generator, and read what it measured."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = Path(__file__).with_name("load.lua")
_GRACE_SECONDS = 30.0


class WrkUnavailable(Exception):
    """wrk is not installed, or did not report."""


@dataclass(frozen=True, slots=True)
class Load:
    """What to send: one body to one URL over a number of connections, rotating over keys."""

    url: str
    body: Path
    keys: Path | None
    connections: int
    json_bytes: int | None = None
    """How much of the body is JSON where binary tensors follow."""

    has_idempotency_keys: bool = False
    """Whether each request gets a key of its own, so that its answer is kept for retries."""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What the callers saw. Latencies are in microseconds."""

    requests: int
    duration_seconds: float
    p50_us: int
    p99_us: int
    max_us: int
    non_2xx: int
    socket_errors: int
    timeouts: int

    @property
    def errors(self) -> int:
        """Count everything that was not an answer with status 2xx or 3xx."""
        return self.non_2xx + self.socket_errors + self.timeouts


def require_wrk() -> None:
    """Refuse to start without the load generator.

    Raises:
        WrkUnavailable: wrk is not on the PATH.
    """
    if shutil.which("wrk") is None:
        raise WrkUnavailable("wrk is not installed: apt-get install wrk (or brew install wrk)")


def run_wrk(load: Load, *, seconds: float) -> LoadResult:
    """Send load for a number of whole seconds from one thread, so that both sides keep a core.

    Raises:
        WrkUnavailable: wrk failed or printed no result.
    """
    json_bytes = "-" if load.json_bytes is None else str(load.json_bytes)
    arguments = [str(load.body), json_bytes, str(load.keys) if load.keys else "-"]
    arguments += ["once"] if load.has_idempotency_keys else []
    command = ["wrk", "-t1", f"-c{load.connections}", f"-d{max(1, round(seconds))}s"]
    command += ["--timeout", "10s", "-s", str(_SCRIPT), load.url, "--", *arguments]
    finished = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=seconds + _GRACE_SECONDS
    )
    lines = finished.stdout.strip().splitlines()
    if finished.returncode != 0 or not lines or not lines[-1].startswith("{"):
        raise WrkUnavailable(f"wrk failed: {finished.stderr or finished.stdout}")
    seen = json.loads(lines[-1])
    return LoadResult(
        requests=seen["requests"],
        duration_seconds=seen["duration"] / 1e6,
        p50_us=seen["p50"],
        p99_us=seen["p99"],
        max_us=seen["max"],
        non_2xx=seen["non_2xx"],
        socket_errors=seen["socket_errors"],
        timeouts=seen["timeouts"],
    )
