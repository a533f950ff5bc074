"""Every way for a request to end, over the real door, and what of it stands on the bill."""

import socket
import sqlite3
import struct
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event

import pytest

from gateway.usage.outcomes import OUTCOMES
from inference.protocol.open_inference_pb2 import ModelInferRequest, ModelInferResponse
from tests.fake_engine import FakeEngine, doubled, running_engine
from tests.faults.disks import FileSizeLimit
from tests.load import Caller, prediction_request
from tests.population import make_caller, make_plan, make_tenant, populate
from tests.repositories import write_model
from tests.serving import ROOT, Answer, Server, free_port
from tests.unit.inference.onnx_models import lookup_model

PATIENCE_SECONDS = 60.0
GOOD: dict[str, object] = {"instances": [1]}
FAILING: dict[str, object] = {"instances": [99]}
ABORTS = 40
LONGEST_SECONDS = 0.006
"""By then an answer has left, and before it there was its commit."""

PATH = "/v1/models/lookup:predict"
LEFT = ("tollgate_requests_total", 'code="client_disconnected"')
WAITING = ("tollgate_queue_rows", 'model="held"')
TABLE = {outcome.name: outcome for outcome in OUTCOMES}


class Engine:
    """What runs the model `held`: one run at a time, and each as long as a test wants."""

    def __init__(self) -> None:
        self.is_asked = Event()
        self.may_answer = Event()
        self.may_answer.set()

    def answer(self, request: ModelInferRequest) -> ModelInferResponse:
        """Answer when it may."""
        self.is_asked.set()
        assert self.may_answer.wait(PATIENCE_SECONDS)
        return doubled(request)

    def hold(self) -> None:
        """Let no run end from here on."""
        self.may_answer.clear()
        self.is_asked.clear()


@pytest.fixture(scope="module")
def engine() -> Engine:
    """Make one."""
    return Engine()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Iterator[Server]:
    """Run a server with a model that fails on some values, and one that takes its time."""
    repository = tmp_path_factory.mktemp("models")
    write_model(repository, "lookup", lookup_model())
    with running_engine(FakeEngine(answer=engine.answer)) as running:
        (repository / "held" / "1").mkdir(parents=True)
        told = f'runtime = "grpc://{running.place}"\n[engine]\ntimeout_seconds = 60.0\n'
        (repository / "held" / "model.toml").write_text(told)
        yield from running_server(tmp_path_factory, repository, engines=running.place)


def running_server(
    tmp_path_factory: pytest.TempPathFactory, repository: Path, *, engines: str
) -> Iterator[Server]:
    """Run it until the generator ends."""
    settings = {
        "TOLLGATE_MODEL_REPOSITORY": str(repository),
        "TOLLGATE_ENGINES": engines,
        "TOLLGATE_METRICS_LISTEN": f"127.0.0.1:{free_port()}",
    }
    running = Server(tmp_path_factory.mktemp("data"), free_port(), settings=settings)
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def caller(server: Server) -> Caller:
    """Make somebody whom no limit binds."""
    return populate(server, tenants=1, keys_each=1)[0]


def records(server: Server, *, key: str = "corrects") -> list[tuple[str, str]]:
    """Read the outcome of every record, and one thing more, after all are delivered."""
    answer = server.call("GET", "/v1/usage", key=server.demo["billing_key"])
    assert answer.status == 200
    path = server.data_dir / "tollgate.db"
    with closing(sqlite3.connect(path)) as connection:
        query = f"SELECT outcome, {key} FROM usage_records ORDER BY sequence"  # noqa: S608 - our own
        return connection.execute(query).fetchall()


def ask(server: Server, caller: Caller, body: object, **headers: str) -> Answer:
    """Ask for a prediction with some headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return server.call("POST", PATH, key=caller.api_key, body=body, headers=named)


def refused(server: Server, _: Caller) -> Answer:
    """Ask twice with a plan that allows one request."""
    tenant_id = make_tenant(server, make_plan(server, requests_per_second=1, burst=1))
    poor = make_caller(server, tenant_id, expires_at=None)
    limited = [ask(server, poor, GOOD) for _ in range(2)]
    assert limited[0].status == 200
    return limited[1]


def without_room(server: Server, caller: Caller) -> Answer:
    """Ask while no file may grow, until the journal has found out."""
    disk = FileSizeLimit()
    disk.fill(server)
    try:
        for _ in range(5000):
            answer = ask(server, caller, GOOD)
            if answer.status != 200:
                return answer
        raise AssertionError("the disk was never full")
    finally:
        disk.free(server)
        server._wait_until_ready()


def answered_again(server: Server, caller: Caller) -> Answer:
    """Ask twice with one key."""
    twice = [ask(server, caller, GOOD, idempotency_key="once") for _ in range(2)]
    assert twice[0].body == twice[1].body
    return twice[1]


def too_late(server: Server, caller: Caller) -> Answer:
    """Be in more haste than anybody can be served in.

    In one piece: a body that comes later than its head would be what is late.
    """
    haste = b"\r\nX-Request-Timeout: 0.000001\r\n\r\n"
    request = lookup_request(caller).replace(b"\r\n\r\n", haste, 1)
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(request)
        status = connection.makefile("rb").readline().split()[1]
    return Answer(int(status), {}, None)


def lookup_request(caller: Caller) -> bytes:
    """Write the bytes of a prediction that is answered."""
    return prediction_request(caller, GOOD).replace(b"/housing:", b"/lookup:")


ENDINGS: dict[str, tuple[Callable[[Server, Caller], Answer], int, int]] = {
    "answered": (lambda server, caller: ask(server, caller, GOOD), 200, 1),
    "answered again": (answered_again, 200, 1),
    "client error": (lambda server, caller: ask(server, caller, {"instances": ["x"]}), 422, 0),
    "refused": (refused, 429, 1),
    "model error": (lambda server, caller: ask(server, caller, FAILING), 400, 0),
    "deadline": (too_late, 504, 0),
}
"""How to reach an outcome, its status, and how many answers on the way there are billed."""


@pytest.mark.parametrize("name", ENDINGS)
def test_only_answers_are_billed(server: Server, caller: Caller, name: str) -> None:
    """The record of an answer that was given, and nothing for any other outcome."""
    reach, status, billed = ENDINGS[name]
    before = len(records(server))
    assert reach(server, caller).status == status
    assert [outcome for outcome, _ in records(server)[before:]] == ["ok"] * billed
    assert TABLE[name].is_billed == (name == "answered")


def test_what_finds_no_room_is_not_billed(server: Server, caller: Caller) -> None:
    """Only what was answered while the journal still took it."""
    served = len(records(server))
    answer = without_room(server, caller)
    assert (answer.status, TABLE["no room"].is_billed) == (503, False)
    names = [name for _, name in records(server, key="request_id")[served:]]
    assert answer.headers["x-request-id"] not in names


def abort(server: Server, request: bytes, *, after_seconds: float) -> None:
    """Send a request and be gone soon, without a goodbye."""
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(request)
        time.sleep(after_seconds)


def test_answer_that_nobody_waits_for_is_billed_and_marked(server: Server, caller: Caller) -> None:
    """Of callers who leave soon some are cancelled, some answered, and some answers are lost.

    A mark names a record that is billed, once, and costs nothing.
    """
    request = lookup_request(caller)
    before, deadline = len(records(server)), time.monotonic() + 30
    marks: list[str] = []
    while not marks and time.monotonic() < deadline:
        for number in range(ABORTS):
            abort(server, request, after_seconds=number * LONGEST_SECONDS / ABORTS)
        found = records(server)[before:]
        marks = [corrects for outcome, corrects in found if outcome == "lost"]
    ids = [name for outcome, name in records(server, key="request_id") if outcome == "ok"]
    assert marks
    assert len(set(marks)) == len(marks)
    assert set(marks) <= set(ids)


def metric(server: Server, name: str, label: str) -> float:
    """Add up a metric over what has a label."""
    place = server.settings["TOLLGATE_METRICS_LISTEN"]
    with urllib.request.urlopen(f"http://{place}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(
        float(line.split()[-1]) for line in lines if line.startswith(f"{name}{{") and label in line
    )


def held_request(caller: Caller, *headers: str) -> bytes:
    """Write the bytes of a prediction by the model that takes its time."""
    request = prediction_request(caller, {"instances": [1.0]}).replace(b"/housing:", b"/held:")
    more = "".join(f"\r\n{header}" for header in headers)
    return request.replace(b"\r\n\r\n", f"{more}\r\n\r\n".encode(), 1)


LEAVERS = [
    ("cancelled", False),
    ("left", True),
    ("left with a key", False),
    ("left with a key", True),
]
"""An outcome, and whether the model runs for the request when its client leaves."""


@pytest.mark.parametrize(("name", "is_dispatched"), LEAVERS)
def test_client_that_leaves_before_its_record(
    server: Server, caller: Caller, engine: Engine, *, name: str, is_dispatched: bool
) -> None:
    """With a key the run goes on, and is billed and marked; without one nothing is written."""
    left = metric(server, *LEFT)
    before, served = len(records(server)), 1 if is_dispatched else 2
    headers = [f"Idempotency-Key: {name} {is_dispatched}".replace(" ", "-")]
    request = held_request(caller, *(headers if name.endswith("key") else []))
    engine.hold()
    with ThreadPoolExecutor(1) as pool:
        if not is_dispatched:
            pool.submit(server.predict, caller.api_key, {"instances": [1.0]}, model="held")
            assert engine.is_asked.wait(PATIENCE_SECONDS)
            server.wait_until(lambda: metric(server, *WAITING) == 0, "older rows are forgotten")
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(request)
            if is_dispatched:
                assert engine.is_asked.wait(PATIENCE_SECONDS)
            else:
                server.wait_until(lambda: metric(server, *WAITING) > 0, "its rows wait")
        server.wait_until(lambda: metric(server, *LEFT) > left, "the client is missed")
        engine.may_answer.set()
        last = server.predict(caller.api_key, {"instances": [1.0]}, model="held")
    wanted = Counter(TABLE[name].records) + Counter({"ok": served})
    server.wait_until(lambda: len(records(server)) - before >= wanted.total(), "all is written")
    assert last.status == 200
    assert Counter(outcome for outcome, _ in records(server)[before:]) == wanted


def test_every_outcome_is_driven() -> None:
    """A new one needs a way to reach it here."""
    assert {*ENDINGS, "no room", "lost", *(name for name, _ in LEAVERS)} == TABLE.keys()


def test_page_shows_the_table() -> None:
    """What customers read is what the code says."""
    page = Path(ROOT / "docs" / "billing.md").read_text(encoding="utf-8")
    for outcome in OUTCOMES:
        kinds = ", ".join(f"`{kind}`" for kind in outcome.records) or "none"
        billed = "yes" if outcome.is_billed else "no"
        line = f"| {outcome.name} | {outcome.when} | {outcome.status} | {billed} | {kinds} |"
        assert line in page
