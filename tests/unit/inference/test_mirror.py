"""Requests that the other version of a trial is asked in the shadow."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, cast

from inference.compute_account import ComputeAccount
from inference.loading import ModelVersion
from inference.mirror import Mirror, Mirrored, Served
from inference.predictor import Predictor
from inference.registry import Registry
from inference.router import Router
from inference.routing import Route
from inference.tensors import Tensors
from tests.unit.inference.fakes import (
    POISON,
    DoublingRuntime,
    FakeClock,
    ask,
    make_batcher,
    rows_of,
    turn,
)
from tests.unit.inference.trials import SHADOW, FakeRegistry, FakeVersion, route_with


class SteppedThread(Executor):
    """Do what is submitted when the test says so, and take a second of the clock for it."""

    def __init__(self, clock: FakeClock) -> None:
        self.waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._clock = clock

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401 - as the superclass
        """Keep a call."""
        future: Future[Any] = Future()
        self.waiting.append((future, lambda: fn(*args, **kwargs)))
        return future

    async def work(self) -> None:
        """Do the oldest call, and let the loop take note of it."""
        future, call = self.waiting.popleft()
        self._clock.now += 1.0
        try:
            future.set_result(call())
        except RuntimeError as error:
            future.set_exception(error)
        await turn()


@dataclass
class FakeBatcher:
    """A queue of which only its length and its account are looked at."""

    waiting_rows: int = 0
    compute: ComputeAccount = field(default_factory=ComputeAccount)


class FakePredictor:
    """One queue for everybody."""

    def __init__(self) -> None:
        self.batcher = FakeBatcher()

    def batcher_of(self, _model: object) -> FakeBatcher:
        """Find it."""
        return self.batcher


@dataclass
class Shadow:
    """A mirror between fakes, and what it told."""

    registry: FakeRegistry = field(default_factory=FakeRegistry)
    predictor: FakePredictor = field(default_factory=FakePredictor)
    clock: FakeClock = field(default_factory=FakeClock)
    told: list[Mirrored] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Build the mirror."""
        self.thread = SteppedThread(self.clock)
        self.router = Router(cast("Registry", self.registry))
        self.router.routes = {"m": SHADOW}
        self.mirror = self.mirror_in(self.thread)

    def mirror_in(self, executor: Executor) -> Mirror:
        """Build a mirror that runs in an executor."""
        return Mirror(
            self.router,
            cast("Predictor", self.predictor),
            executor=executor,
            listener=lambda _route, mirrored: self.told.append(mirrored),
            clock=self.clock,
        )

    async def offer(self, *values: float, route: Route = SHADOW, by: str = "1") -> None:
        """Answer a request by a version, with the doubled input, and offer it to the mirror."""
        tensors = rows_of(*values)
        model = cast("ModelVersion", self.registry.versions[by])
        served = Served(model, tensors, {"y": tensors["x"] * 2}, len(values))
        self.mirror.offer(route, served)
        await turn()

    @property
    def challenger(self) -> FakeVersion:
        """The version on trial."""
        return self.registry.versions["2"]


async def test_challenger_gets_the_same_rows() -> None:
    """What it answers is compared with what the caller got."""
    shadow = Shadow()
    await shadow.offer(1.0, 2.0)
    await shadow.thread.work()
    [mirrored] = shadow.told
    assert mirrored.comparison is not None
    assert (mirrored.version, mirrored.comparison.agreed_rows, mirrored.rows) == ("2", 2, 2)


async def test_answer_leaves_before_the_run_begins() -> None:
    """What the request's own turn of the loop still has to do is done first."""
    shadow = Shadow()
    model = cast("ModelVersion", shadow.registry.versions["1"])
    shadow.mirror.offer(SHADOW, Served(model, rows_of(1.0), rows_of(2.0), 1))
    assert len(shadow.thread.waiting) == 0
    await turn()
    assert len(shadow.thread.waiting) == 1


async def test_server_that_is_ending_mirrors_nothing() -> None:
    """The thread is gone, and the version is let go."""
    shadow = Shadow()
    thread = ThreadPoolExecutor(1)
    thread.shutdown()
    shadow.mirror = shadow.mirror_in(thread)
    await shadow.offer(1.0)
    assert shadow.challenger.holders.count == 0


async def test_nobody_waits_for_the_challenger() -> None:
    """While it runs, the next requests pass by; there is no queue that could grow."""
    shadow = Shadow()
    for _ in range(1000):
        await shadow.offer(1.0)
    assert len(shadow.thread.waiting) == 1
    assert shadow.mirror.passed_over == 999


async def test_budget_bounds_the_share_of_time() -> None:
    """A tenth of the time: after a run of one second the thread rests for nine."""
    shadow = Shadow()
    route = route_with(budget=0.1)
    await shadow.offer(1.0, route=route)
    await shadow.thread.work()
    shadow.clock.now += 8.9
    await shadow.offer(1.0, route=route)
    assert len(shadow.thread.waiting) == 0
    shadow.clock.now += 0.2
    await shadow.offer(1.0, route=route)
    assert len(shadow.thread.waiting) == 1


async def test_callers_who_wait_come_first() -> None:
    """Under pressure nothing is mirrored."""
    shadow = Shadow()
    shadow.predictor.batcher.waiting_rows = 1
    await shadow.offer(1.0)
    assert len(shadow.thread.waiting) == 0


async def test_trial_without_a_budget_mirrors_nothing() -> None:
    """A split alone costs no second run."""
    shadow = Shadow()
    await shadow.offer(1.0, route=route_with(weight=0.5, budget=0.0))
    assert len(shadow.thread.waiting) == 0


async def test_champion_is_asked_what_the_challenger_answered() -> None:
    """In a split with a budget both ways are compared, always challenger less champion."""
    shadow = Shadow()
    await shadow.offer(1.0, by="2")
    await shadow.thread.work()
    [mirrored] = shadow.told
    assert (mirrored.version, mirrored.champion) == ("1", "1")


async def test_challenger_that_fails_is_told_of() -> None:
    """Its callers saw nothing of it."""
    shadow = Shadow()
    await shadow.offer(POISON)
    await shadow.thread.work()
    assert [mirrored.comparison for mirrored in shadow.told] == [None]


async def test_mirrored_run_is_on_nobody_s_bill() -> None:
    """It is work of the other version's engine all the same."""
    shadow = Shadow()
    await shadow.offer(1.0)
    await shadow.thread.work()
    account = shadow.predictor.batcher.compute
    assert (account.busy_us, account.open_us, account.billed_us) == (account.unbilled_us, 0, 0)
    assert shadow.mirror.runs == 1


async def test_version_is_held_while_it_runs() -> None:
    """It is not freed under the run, and not held afterwards."""
    shadow = Shadow()
    await shadow.offer(1.0)
    held = shadow.challenger.holders.count
    await shadow.thread.work()
    assert (held, shadow.challenger.holders.count) == (1, 0)


async def test_broken_run_stops_nothing() -> None:
    """A fault of ours is logged; the next request is mirrored again."""
    shadow = Shadow()
    await shadow.offer(1.0)
    future, _call = shadow.thread.waiting.popleft()
    future.set_exception(MemoryError())
    await turn()
    await shadow.offer(1.0)
    assert len(shadow.thread.waiting) == 1


class HungRuntime(DoublingRuntime):
    """Answer nothing until the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.may_end = threading.Event()

    def run(self, tensors: Tensors, /) -> Tensors:
        """Wait."""
        self.may_end.wait()
        return super().run(tensors)


async def test_challenger_that_hangs_holds_no_caller_up() -> None:
    """The champion answers as ever, on its own thread, however long the challenger takes."""
    shadow = Shadow()
    hung = HungRuntime()
    shadow.challenger.runtime = hung
    with ThreadPoolExecutor(1) as model_thread, ThreadPoolExecutor(1) as mirror_thread:
        champion = cast("ModelVersion", shadow.registry.versions["1"])
        batcher = make_batcher(shadow.registry.versions["1"].runtime, model_thread)
        shadow.mirror = shadow.mirror_in(mirror_thread)
        for number in range(100):
            prediction = await ask(batcher, float(number))
            served = Served(champion, rows_of(float(number)), prediction.outputs, 1)
            shadow.mirror.offer(SHADOW, served)
        answered = batcher.rows
        hung.may_end.set()
    assert (answered, shadow.mirror.passed_over) == (100, 99)
