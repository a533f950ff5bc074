"""What an operator sees of two workers, through a real Prometheus, with a worker killed on the way.

One server is loaded once for all tests here: its client's own log says what must have been counted.
"""

import asyncio
import json
import math
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.observability.catalogue import CATALOGUE
from gateway.observability.meter import Kind
from tests.load import Caller, ClientLog, run_load
from tests.population import make_caller, make_plan, make_tenant
from tests.prometheus_server import CONFIGURATION, PrometheusServer, running_prometheus
from tests.redis_server import running_redis
from tests.serving import ROOT, free_port
from tests.stack import Stack

DASHBOARD = ROOT / "observability" / "grafana" / "dashboards" / "tollgate.json"
PREDICTED = 'sum(tollgate_requests_total{route=~".*:predict",status="2xx"})'
REQUESTS = 600
REFUSED = 20
NAMES = re.compile(r"\btollgate_[a-z_]+\b")


@dataclass
class Observed:
    """What there is to look at, after the load."""

    stack: Stack
    prometheus: PrometheusServer
    calm: ClientLog
    """Of a load without faults, and one after a worker was killed idle."""

    counted_calm: float
    stormy: ClientLog
    """Of a load in which a worker was killed."""

    counted_stormy: float
    metrics: str
    caller: Caller


def panels() -> list[tuple[str, str]]:
    """List the title and expression of everything on the dashboard."""
    document = json.loads(DASHBOARD.read_text())
    return [
        (panel["title"], target["expr"].replace("$__rate_interval", "1m"))
        for panel in document["panels"]
        for target in panel.get("targets", [])
    ]


def load(stack: Stack, caller: Caller, log: ClientLog) -> None:
    """Send predictions and refusals, to the end."""
    asyncio.run(
        run_load(
            stack.port, [caller], stack.demo["example"], requests=REQUESTS, connections=8, log=log
        )
    )
    for _ in range(REFUSED):
        assert stack.predict("tg_live_nobody", {}).status == 401


async def stormy_load(stack: Stack, caller: Caller) -> ClientLog:
    """Send predictions, and kill a worker once some are answered."""
    log = ClientLog()
    running = asyncio.create_task(
        run_load(
            stack.port, [caller], stack.demo["example"], requests=REQUESTS, connections=8, log=log
        )
    )
    some = REQUESTS // 4
    await asyncio.to_thread(stack.wait_until, lambda: len(log.served) >= some, "some are answered")
    stack.kill_worker(stack.worker_pids()[0])
    await running
    return log


def revive(stack: Stack, *, crashes: int) -> None:
    """Wait until the worker that was killed has a successor that serves."""
    stack.wait_until(lambda: stack.log().count("is ready again") >= crashes, "a worker is back")


def scrape(address: str) -> str:
    """Read the metrics as Prometheus does."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
        return text


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """Run two workers under load, kill each once, and read everything."""
    folder = tmp_path_factory.mktemp("observed")
    address = f"127.0.0.1:{free_port()}"
    (folder / "data").mkdir()
    with running_redis(folder) as redis:
        settings = {"TOLLGATE_REDIS_URL": redis.url, "TOLLGATE_METRICS_LISTEN": address}
        stack = Stack(folder / "data", free_port(), settings=settings)
        stack.start()
        try:
            with running_prometheus(folder / "prometheus", target=address) as prometheus:
                yield observe(stack, prometheus, address)
        finally:
            stack.stop()


def observe(stack: Stack, prometheus: PrometheusServer, address: str) -> Observed:
    """Load the server with a worker killed between two loads, and another in a third."""
    caller = make_caller(stack, make_tenant(stack, make_plan(stack)))
    calm = ClientLog()
    load(stack, caller, calm)
    prometheus.catch_up()
    stack.kill_worker(stack.worker_pids()[0])
    revive(stack, crashes=1)
    load(stack, caller, calm)
    prometheus.catch_up()
    counted_calm = prometheus.number(PREDICTED)
    stormy = asyncio.run(stormy_load(stack, caller))
    revive(stack, crashes=2)
    prometheus.catch_up()
    counted_stormy = prometheus.number(PREDICTED) - counted_calm
    metrics = scrape(address)
    return Observed(stack, prometheus, calm, counted_calm, stormy, counted_stormy, metrics, caller)


def test_counts_are_the_clients_own(observed: Observed) -> None:
    """Over both workers and the one that took a killed one's place, to the last request."""
    assert len(observed.calm.served) == 2 * REQUESTS
    assert observed.counted_calm == 2 * REQUESTS
    refused = observed.prometheus.number('sum(tollgate_requests_total{code="unauthenticated"})')
    assert refused == 2 * REFUSED


def test_kill_under_load_loses_no_count(observed: Observed) -> None:
    """Whoever was answered was counted; of those cut off, some were."""
    served, cut_off = len(observed.stormy.served), observed.stormy.in_flight
    assert served <= observed.counted_stormy <= served + cut_off


def test_counters_never_fall(observed: Observed) -> None:
    """Not when a worker is replaced either."""
    counters = [metric.name for metric in CATALOGUE if metric.kind is Kind.COUNTER]
    for name in counters:
        assert observed.prometheus.number(f"sum(resets({name}_total[10m]))") == 0, name
    assert observed.prometheus.number("tollgate_worker_crashes_total") == 2
    assert observed.prometheus.number("tollgate_workers") == 2


@pytest.mark.parametrize(("title", "expression"), panels())
def test_panel_has_data(observed: Observed, title: str, expression: str) -> None:
    """Each line of each panel of the dashboard shows something."""
    values = [float(series["value"][1]) for series in observed.prometheus.query(expression)]
    assert [value for value in values if not math.isnan(value)], title


def test_alarms_are_evaluated(observed: Observed) -> None:
    """Every rule works; the one for the worker that was killed fires, and no other."""
    rules = observed.prometheus.rules()
    assert {rule["health"] for rule in rules} == {"ok"}
    firing = {rule["name"] for rule in rules if rule["state"] == "firing"}
    assert firing == {"TollgateWorkerCrashed"}


def test_dashboard_and_alarms_name_metrics_that_exist(observed: Observed) -> None:
    """A renamed metric would leave an empty panel, or an alarm that never rings."""
    told = set(NAMES.findall(observed.metrics))
    named = NAMES.findall(DASHBOARD.read_text() + (CONFIGURATION / "alerts.yml").read_text())
    assert set(named) <= told


def test_metrics_tell_of_no_customer(observed: Observed) -> None:
    """Neither tenants nor keys are labels."""
    assert observed.caller.tenant_id not in observed.metrics
    assert observed.caller.key_id not in observed.metrics


def test_metrics_are_not_on_the_public_socket(observed: Observed) -> None:
    """Customers get the 404 of a path that never was."""
    answer = observed.stack.call("GET", "/metrics", key=observed.stack.demo["admin_key"])
    assert (answer.status, answer.body["code"]) == (404, "not_found")


def test_each_answer_has_its_line_in_the_log(observed: Observed) -> None:
    """With its id, key and model, also of the worker that was killed while it was idle."""
    lines = access_lines(observed.stack)
    by_id = {line["request_id"]: line for line in lines}
    assert len(by_id) == len(lines)
    for served in observed.calm.served:
        line = by_id[served.request_id]
        assert (line["status"], line["rows"], line["model"]) == (200, served.rows, "housing")
        assert line["key_id"] == served.caller.key_id


def test_every_line_of_the_log_is_json_of_one_shape(observed: Observed) -> None:
    """Also those of the supervisor, of uvicorn and of the workers' ends."""
    lines = observed.stack.log().splitlines()
    announced = [line for line in lines if line.startswith("Tollgate serves housing on ")]
    assert len(announced) == 1
    for line in set(lines) - set(announced):
        assert {"time", "level", "logger", "message"} <= json.loads(line).keys()


def access_lines(stack: Stack) -> list[dict[str, Any]]:
    """Read the lines of requests."""
    lines = [json.loads(line) for line in stack.log().splitlines() if line.startswith("{")]
    return [line for line in lines if line["logger"] == "tollgate.access"]


def test_every_alarm_is_explained() -> None:
    """Whoever is woken up finds what it means and what to do."""
    page = (ROOT / "docs" / "operations.md").read_text()
    alarms = re.findall(r"alert: (\w+)", (CONFIGURATION / "alerts.yml").read_text())
    assert alarms
    assert [name for name in alarms if f"| `{name}` |" not in page] == []


def test_configuration_is_valid(tmp_path: Path) -> None:
    """As Prometheus' own tool sees it."""
    command = ["promtool", "check", "config", str(CONFIGURATION / "prometheus.yml")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
