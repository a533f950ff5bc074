"""A real Prometheus of our own, on loopback, that reads one server with our rules."""

import contextlib
import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.serving import ROOT, free_port

CONFIGURATION = ROOT / "observability" / "prometheus"
_READY_SECONDS = 30.0
_POLL_SECONDS = 0.1


class PrometheusServer:
    """Start it, ask it, and wait until it has read what is there now."""

    def __init__(self, folder: Path, *, target: str) -> None:
        self._folder = folder
        self._target = target
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run it on our configuration, with one known target and every second a reading."""
        shutil.copytree(CONFIGURATION, self._folder, dirs_exist_ok=True)
        path = self._folder / "prometheus.yml"
        configuration = yaml.safe_load(path.read_text())
        configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        [scrape] = configuration["scrape_configs"]
        del scrape["dns_sd_configs"]
        scrape["static_configs"] = [{"targets": [self._target]}]
        path.write_text(yaml.safe_dump(configuration))
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={path}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                ],
                stdout=log,
                stderr=log,
            )
        self._wait_until(lambda: self.query("up") != [])

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_READY_SECONDS)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Evaluate an expression now; return its series."""
        words = urllib.parse.urlencode({"query": expression})
        found: list[dict[str, Any]] = self._get(f"/api/v1/query?{words}")["result"]
        return found

    def number(self, expression: str) -> float:
        """Evaluate an expression that has exactly one value."""
        [series] = self.query(expression)
        return float(series["value"][1])

    def rules(self) -> list[dict[str, Any]]:
        """List the alarms as they were last evaluated."""
        return [rule for group in self._get("/api/v1/rules")["groups"] for rule in group["rules"]]

    def catch_up(self) -> None:
        """Wait until two readings and evaluations came after this call."""
        began = time.time()
        self._wait_until(lambda: self.number('min(timestamp(up{job="tollgate"}))') > began + 1.0)
        self._wait_until(lambda: all("lastEvaluation" in rule for rule in self.rules()))

    def _get(self, path: str) -> Any:  # noqa: ANN401 - any JSON
        url = f"http://127.0.0.1:{self._port}{path}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.loads(answer.read())["data"]

    def _wait_until(self, is_so: Any) -> None:  # noqa: ANN401 - a predicate
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, ValueError):
                if is_so():
                    return
            time.sleep(_POLL_SECONDS)
        raise AssertionError("Prometheus:\n" + (self._folder / "log").read_text()[-2000:])


@contextlib.contextmanager
def running_prometheus(folder: Path, *, target: str) -> Iterator[PrometheusServer]:
    """Run one for the length of a block."""
    folder.mkdir()
    server = PrometheusServer(folder, target=target)
    try:
        server.start()
        yield server
    finally:
        server.stop()
