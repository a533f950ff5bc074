"""The law of the batcher: every caller is answered exactly once, with its own rows."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from inference.batcher import Batcher, Prediction
from inference.compute_account import ComputeAccount
from inference.errors import ModelFailed
from tests.unit.inference.fakes import (
    POISON,
    DoublingRuntime,
    HeldExecutor,
    ask,
    make_batcher,
    turn,
)

CAPACITY = 8

arrivals = st.tuples(
    st.just("arrive"),
    st.integers(min_value=1, max_value=12),
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from([1, 1, 1, 2]),
    st.integers(min_value=0, max_value=9).map(lambda draw: draw == 0),
)
steps = st.one_of(
    arrivals,
    st.tuples(st.just("turn")),
    st.tuples(st.just("run"), st.sampled_from([0, 1])),
    st.tuples(st.just("cancel"), st.integers(min_value=0, max_value=50)),
)


@dataclass
class Caller:
    """What one caller sent, and its task."""

    values: list[float]
    task: asyncio.Task[Prediction]
    is_cancelled: bool = False


@dataclass
class Scene:
    """Everyone who takes part in one interleaving."""

    runtime: DoublingRuntime = field(default_factory=DoublingRuntime)
    executor: HeldExecutor = field(default_factory=HeldExecutor)
    back: HeldExecutor | None = None
    callers: list[Caller] = field(default_factory=list)
    compute: ComputeAccount = field(default_factory=ComputeAccount)
    """Of the batcher, once all is over."""

    @property
    def executors(self) -> list[HeldExecutor]:
        """List the threads."""
        return [self.executor] if self.back is None else [self.executor, self.back]

    async def play(self, script: list[tuple[object, ...]]) -> None:
        """Take every step, then let everything run to its end."""
        batcher = make_batcher(
            self.runtime, self.executor, back_executor=self.back, max_batch_size=CAPACITY
        )
        for step in script:
            await self._take(batcher, step)
        await turn()
        while any(executor.held for executor in self.executors):
            for executor in self.executors:
                await executor.run_all()
        await asyncio.gather(*(caller.task for caller in self.callers), return_exceptions=True)
        self.compute = batcher.compute
        batcher.close()

    async def _take(self, batcher: Batcher, step: tuple[object, ...]) -> None:
        match step:
            case ("arrive", int(rows), str(lane), int(width), bool(is_poisonous)):
                self._arrive(batcher, rows, lane, width=width, is_poisonous=is_poisonous)
            case ("turn",):
                await turn()
            case ("run", int(index)) if self.executors[index % len(self.executors)].held:
                await self.executors[index % len(self.executors)].run_next()
            case ("cancel", int(index)) if index < len(self.callers):
                caller = self.callers[index]
                caller.is_cancelled = caller.task.cancel() or caller.is_cancelled

    def _arrive(
        self, batcher: Batcher, rows: int, lane: str, *, width: int, is_poisonous: bool
    ) -> None:
        first = 100.0 * (len(self.callers) + 1)
        values = [first + row for row in range(rows)]
        if is_poisonous:
            values[-1] = POISON
        self.callers.append(Caller(values, ask(batcher, *values, lane=lane, width=width)))


scenes = st.sampled_from([Scene, lambda: Scene(back=HeldExecutor())])
"""One track, and two."""


@settings(max_examples=200, deadline=None)
@given(st.lists(steps, max_size=40), scenes)
def test_every_caller_is_answered_once_with_its_own_rows(
    script: list[tuple[object, ...]], make: Callable[[], Scene]
) -> None:
    """Whatever the order of arrivals, departures and failures, nobody gets another's rows."""
    scene = make()
    asyncio.run(scene.play(script))
    for caller in scene.callers:
        assert caller.task.done()
        if caller.is_cancelled:
            continue
        if POISON in caller.values:
            assert isinstance(caller.task.exception(), ModelFailed)
        else:
            answer = caller.task.result().outputs["y"][:, 0].tolist()
            assert answer == [2 * value for value in caller.values]


@settings(max_examples=100, deadline=None)
@given(st.lists(steps, max_size=40), scenes)
def test_no_run_is_over_the_batch_size(
    script: list[tuple[object, ...]], make: Callable[[], Scene]
) -> None:
    """However many rows one caller has."""
    scene = make()
    asyncio.run(scene.play(script))
    assert all(rows <= CAPACITY for rows in scene.runtime.rows_of_runs)


@settings(max_examples=100, deadline=None)
@given(st.lists(steps, max_size=40), scenes)
def test_every_microsecond_of_the_engine_is_attributed(
    script: list[tuple[object, ...]], make: Callable[[], Scene]
) -> None:
    """What callers were answered with and what nobody pays for is all that the engine worked."""
    scene = make()
    asyncio.run(scene.play(script))
    bills = [
        caller.task.result().bill
        for caller in scene.callers
        if not caller.task.cancelled() and caller.task.exception() is None
    ]
    assert scene.compute.open_us == sum(bill.part_us for bill in bills)
    for bill in bills:
        bill.settle(is_billed=True)
    assert scene.compute.billed_us + scene.compute.unbilled_us == scene.compute.busy_us
