"""What an operator sees of two workers, through a real Prometheus, with a worker killed on the way.

One server is loaded once for all tests here: its client's own log says what must have been counted.
"""

import asyncio
import json
import math
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.observability.catalogue import CATALOGUE
from gateway.observability.meter import Kind
from inference.protocol.open_inference_pb2 import ModelInferRequest
from tests.grpc_door import grpc_caller
from tests.load import Caller, ClientLog, run_load
from tests.population import make_caller, make_plan, make_tenant
from tests.prometheus_server import CONFIGURATION, PrometheusServer, running_prometheus
from tests.redis_server import running_redis
from tests.serving import ROOT, free_port
from tests.stack import Stack

DASHBOARD = ROOT / "observability" / "grafana" / "dashboards" / "tollgate.json"
V1 = "/v1/models/{model}:predict"
V2 = "/v2/models/{model}/infer"
GRPC = "/inference.GRPCInferenceService/ModelInfer"
PREDICTED = f'sum(tollgate_requests_total{{route="{V1}",status="2xx"}})'
REQUESTS = 600
REFUSED = 20
NEW = 3
"""Requests of each kind in the protocols that are not V1."""

NAMES = re.compile(r"\btollgate_[a-z_]+\b")
MATCHED = re.compile(r'route=~\\?"([^"\\]+)')
NUMERIC = [6480, 3, 1, 2, 1]
CATEGORICAL = ["no", "no", "no", "no", "yes", "no"]


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


async def load_others(stack: Stack, key: str) -> None:
    """Send predictions and refusals as the Open Inference Protocol has them."""
    tensors: list[dict[str, Any]] = [
        {"name": "numeric", "shape": [1, 5], "datatype": "FP32", "data": NUMERIC},
        {"name": "categorical", "shape": [1, 6], "datatype": "BYTES", "data": CATEGORICAL},
    ]
    message = ModelInferRequest(model_name="housing")
    for tensor, field in zip(tensors, ("fp32_contents", "bytes_contents"), strict=True):
        given = message.inputs.add(**{name: tensor[name] for name in ("name", "datatype", "shape")})
        data = tensor["data"]
        values = [each.encode() for each in data] if field == "bytes_contents" else data
        getattr(given.contents, field).extend(values)
    target = f"127.0.0.1:{stack.settings['TOLLGATE_GRPC_PORT']}"
    async with grpc_caller(target) as caller:
        for who in [key, "tg_live_nobody"] * NEW:
            told = await caller.call("ModelInfer", message, key=who)
            assert told.code == ("OK" if who == key else "UNAUTHENTICATED"), told
    for _ in range(NEW):
        for method, model, who, status in (
            ("POST", "housing", key, 200),
            ("POST", "housing", "tg_live_nobody", 401),
            ("GET", "housing", key, 405),
            ("POST", "nothing", key, 404),
        ):
            answer = await asyncio.to_thread(
                stack.call, method, f"/v2/models/{model}/infer", key=who, body={"inputs": tensors}
            )
            assert answer.status == status


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
        settings |= {"TOLLGATE_GRPC_PORT": str(free_port())}
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
    asyncio.run(load_others(stack, caller.api_key))
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
    refused = 'sum(tollgate_requests_total{code="unauthenticated",route=~".*:predict"})'
    assert observed.prometheus.number(refused) == 2 * REFUSED


def test_every_protocol_is_counted_under_its_own_route(observed: Observed) -> None:
    """Also who is refused before anything is read, and for a model that there is not."""
    series = observed.prometheus.query(
        'sum by (route, model, code) (tollgate_requests_total{route=~".*/(infer|ModelInfer)"})'
    )
    names = ("route", "model", "code")
    counted = {tuple(each["metric"].get(name, "") for name in names) for each in series}
    assert counted == {
        (V2, "housing", ""),
        (V2, "unknown", "unauthenticated"),
        (V2, "unknown", "method_not_allowed"),
        (V2, "unknown", "model_not_found"),
        (GRPC, "housing", ""),
        (GRPC, "unknown", "unauthenticated"),
    }
    assert {float(each["value"][1]) for each in series} == {NEW}


def test_dashboard_and_alarms_see_predictions_of_every_protocol() -> None:
    """A matcher of routes that knows one of them alone hides the others."""
    text = DASHBOARD.read_text() + (CONFIGURATION / "alerts.yml").read_text()
    matchers = MATCHED.findall(text)
    assert matchers
    for matcher in matchers:
        assert [route for route in (V1, V2, GRPC) if not re.fullmatch(matcher, route)] == []


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


@pytest.mark.parametrize("told", ["as it is", "with a receiver"])
def test_configuration_is_valid(tmp_path: Path, told: str) -> None:
    """As Prometheus' own tool sees it, also once somebody uncomments who is told of alarms."""
    shutil.copytree(CONFIGURATION, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "prometheus.yml"
    text = path.read_text()
    if told == "with a receiver":
        text = re.sub(r"(?m)^# (alerting:| {2})", r"\1", text)
        assert yaml.safe_load(text)["alerting"]["alertmanagers"]
        path.write_text(text)
    command = ["promtool", "check", "config", str(path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
