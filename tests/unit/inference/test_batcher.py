"""The batcher: who shares a run, who waits, who is refused, and that nobody harms a neighbour."""

import asyncio

import numpy as np
import pytest

from inference.batcher import Batcher
from inference.errors import (
    DeadlineExceeded,
    ModelFailed,
    ModelNotReady,
    QueueFull,
    TooManyRows,
)
from tests.unit.inference.fakes import (
    POISON,
    DoublingRuntime,
    FakeClock,
    HeldExecutor,
    InlineExecutor,
    SummingRuntime,
    ask,
    doubled,
    make_batcher,
    rows_of,
    turn,
)


async def test_lone_caller_runs_at_once(batcher: Batcher, executor: HeldExecutor) -> None:
    """One request is handed to the executor in the same round of the loop, without a timer."""
    answer = ask(batcher, 1, 2)
    await turn()
    await executor.run_next()
    assert doubled(await answer) == [2, 4]


async def test_single_request_is_not_copied(
    batcher: Batcher, runtime: DoublingRuntime, executor: HeldExecutor
) -> None:
    """A request that runs alone reaches the engine as the very arrays that were given."""
    tensors = rows_of(1)
    answer = asyncio.create_task(batcher.predict(tensors, rows=1, lane="a", deadline=9))
    await turn()
    await executor.run_next()
    await answer
    assert runtime.batches[0] is tensors


async def test_arrivals_of_one_round_share_a_run(
    batcher: Batcher, runtime: DoublingRuntime, executor: HeldExecutor
) -> None:
    """Requests of the same round of the loop become one run, and each gets its own rows."""
    answers = [ask(batcher, 1), ask(batcher, 2, 3), ask(batcher, 4)]
    await turn()
    await executor.run_next()
    assert [doubled(await answer) for answer in answers] == [[2], [4, 6], [8]]
    assert runtime.rows_of_runs == [4]


async def test_arrivals_during_a_run_share_the_next(
    batcher: Batcher, runtime: DoublingRuntime, executor: HeldExecutor
) -> None:
    """Everyone who came while a run was on is in the next one."""
    answers = [ask(batcher, 1)]
    await turn()
    answers += [ask(batcher, 2), ask(batcher, 3)]
    await turn()
    await executor.run_all()
    await asyncio.gather(*answers)
    assert runtime.rows_of_runs == [1, 2]


async def test_one_run_at_a_time(batcher: Batcher, executor: HeldExecutor) -> None:
    """The executor never holds two runs of one model."""
    answers = []
    for value in range(5):
        answers.append(ask(batcher, value))
        await turn()
    await executor.run_all()
    await asyncio.gather(*answers)
    assert executor.most_submitted == 1


async def test_rows_are_counted_not_requests(
    batcher: Batcher, runtime: DoublingRuntime, executor: HeldExecutor
) -> None:
    """A run is full at 8 rows, however few requests brought them."""
    answers = [ask(batcher, 1, 2, 3), ask(batcher, 4, 5, 6), ask(batcher, 7, 8, 9)]
    await turn()
    await executor.run_all()
    await asyncio.gather(*answers)
    assert runtime.rows_of_runs == [6, 3]


async def test_unlike_shapes_are_never_merged(
    batcher: Batcher, runtime: DoublingRuntime, executor: HeldExecutor
) -> None:
    """Rows of another item shape wait for a run of their own."""
    answers = [ask(batcher, 1), ask(batcher, 2, width=3), ask(batcher, 3, lane="b")]
    await turn()
    await executor.run_all()
    await asyncio.gather(*answers)
    assert sorted(batch["x"].shape[1] for batch in runtime.batches) == [1, 3]


async def test_unlike_datatypes_are_never_merged(
    batcher: Batcher, runtime: DoublingRuntime, executor: HeldExecutor
) -> None:
    """Integers beside floats would be widened in a joined array; they run apart."""
    integers = {"x": np.array([[2**40 + 1]], np.int64)}
    whole = asyncio.create_task(batcher.predict(integers, rows=1, lane="a", deadline=9))
    broken = ask(batcher, 0.5)
    await turn()
    await executor.run_all()
    await broken
    assert (await whole).outputs["y"].tolist() == [[2**41 + 2]]
    assert [batch["x"].dtype.kind for batch in runtime.batches] == ["i", "f"]


async def test_cancelled_caller_does_not_block_or_harm_the_batch(
    batcher: Batcher, runtime: DoublingRuntime, executor: HeldExecutor
) -> None:
    """A caller that leaves before the run is not in it; its neighbours are answered."""
    first = ask(batcher, 1)
    await turn()
    answers = [ask(batcher, 2), ask(batcher, 3), ask(batcher, 4)]
    await turn()
    answers[1].cancel()
    await executor.run_all()
    assert [doubled(await answer) for answer in (first, answers[0], answers[2])] == [[2], [4], [8]]
    assert runtime.rows_of_runs == [1, 2]


async def test_caller_cancelled_just_before_the_run_is_not_in_it(
    batcher: Batcher, runtime: DoublingRuntime, executor: HeldExecutor
) -> None:
    """A caller that leaves in the very round in which the next run starts is dropped as well."""
    first = ask(batcher, 1)
    await turn()
    leaving, staying = ask(batcher, 2), ask(batcher, 3)
    await turn()
    leaving.cancel()
    executor.let_go()
    await turn()
    await executor.run_all()
    assert [doubled(await answer) for answer in (first, staying)] == [[2], [6]]
    assert runtime.rows_of_runs == [1, 1]


async def test_cancelled_rows_leave_the_queue(batcher: Batcher, executor: HeldExecutor) -> None:
    """The room of a caller that left is free for others at once."""
    ask(batcher, 0)
    await turn()
    leaving = ask(batcher, *range(16))
    await turn()
    leaving.cancel()
    await turn()
    staying = ask(batcher, *range(16))
    await turn()
    await executor.run_all()
    assert len(doubled(await staying)) == 16


async def test_caller_cancelled_during_its_run_harms_nobody(
    batcher: Batcher, executor: HeldExecutor
) -> None:
    """An answer that nobody waits for is dropped; the neighbour gets its own."""
    leaving, staying = ask(batcher, 1), ask(batcher, 2)
    await turn()
    leaving.cancel()
    await executor.run_next()
    assert doubled(await staying) == [4]


async def test_poisonous_row_fails_alone(batcher: Batcher, executor: HeldExecutor) -> None:
    """The caller whose row breaks the model gets the error, everyone else an answer."""
    answers = [ask(batcher, 1), ask(batcher, 2, POISON), ask(batcher, 3)]
    await turn()
    await executor.run_next()
    results = await asyncio.gather(*answers, return_exceptions=True)
    assert isinstance(results[1], ModelFailed)
    assert [doubled(results[0]), doubled(results[2])] == [[2], [6]]  # type: ignore[arg-type]
    assert batcher.failures == 1


async def test_output_without_rows_is_never_split(executor: HeldExecutor) -> None:
    """A model that sums over its rows answers each caller for its own rows alone."""
    runtime = SummingRuntime()
    batcher = make_batcher(runtime, executor, max_batch_size=8)
    answers = [ask(batcher, 1, 2), ask(batcher, 3, 4)]
    await turn()
    await executor.run_next()
    sums = [(await answer).outputs["y"].tolist() for answer in answers]
    assert sums == [[3], [7]]
    later = [ask(batcher, 5), ask(batcher, 6)]
    await turn()
    await executor.run_all()
    await asyncio.gather(*later)
    assert runtime.rows_of_runs == [4, 2, 2, 1, 1]


async def test_graph_without_batch_axis_runs_singly(executor: HeldExecutor) -> None:
    """Requests for a graph of fixed size never share a run."""
    runtime = DoublingRuntime(is_batchable=False)
    batcher = make_batcher(runtime, executor, max_batch_size=8)
    answers = [ask(batcher, 1), ask(batcher, 2)]
    await turn()
    await executor.run_all()
    await asyncio.gather(*answers)
    assert runtime.rows_of_runs == [1, 1]


async def test_queue_is_bounded_in_rows(batcher: Batcher) -> None:
    """The 17th waiting row is refused with a time to come back."""
    ask(batcher, 0)
    await turn()
    ask(batcher, *range(16))
    await turn()
    with pytest.raises(QueueFull) as refused:
        await ask(batcher, 1)
    assert refused.value.retry_after_seconds >= 1


async def test_room_can_be_asked_for_beforehand(batcher: Batcher) -> None:
    """The answer is that of a request, with nothing queued and nobody displaced."""
    batcher.check_room(rows=16, lane="a")
    with pytest.raises(TooManyRows):
        batcher.check_room(rows=17, lane="a")
    ask(batcher, 0)
    await turn()
    waiting = [ask(batcher, value) for value in range(16)]
    await turn()
    with pytest.raises(QueueFull):
        batcher.check_room(rows=1, lane="a")
    batcher.check_room(rows=8, lane="b")
    assert not any(task.done() for task in waiting)


async def test_request_larger_than_the_queue_is_refused(batcher: Batcher) -> None:
    """Rows that could never wait are a fault of the request, not of the moment."""
    with pytest.raises(TooManyRows) as refused:
        await ask(batcher, *range(17))
    assert refused.value.limit == 16


async def test_flood_cannot_fill_the_queue_for_others(
    batcher: Batcher, executor: HeldExecutor
) -> None:
    """A lane under its share displaces the newest rows of the lane that floods."""
    ask(batcher, 0)
    await turn()
    flood = [ask(batcher, value, lane="flood") for value in range(16)]
    await turn()
    quiet = ask(batcher, 7, lane="quiet")
    await turn()
    with pytest.raises(QueueFull):
        await flood[-1]
    await executor.run_all()
    assert doubled(await quiet) == [14]


async def test_lanes_are_fair_under_a_flood(
    batcher: Batcher, runtime: DoublingRuntime, executor: HeldExecutor
) -> None:
    """A late request of a quiet lane is in the very next run, ahead of a flood."""
    ask(batcher, 0)
    await turn()
    for value in range(12):
        ask(batcher, value, lane="flood")
    await turn()
    quiet = ask(batcher, 99, lane="quiet")
    await turn()
    await executor.run_next()
    await executor.run_next()
    assert quiet.done()
    assert doubled(await quiet) == [198]
    assert runtime.rows_of_runs == [1, 8]


async def test_deadline_passes_before_the_run(
    batcher: Batcher, executor: HeldExecutor, clock: FakeClock
) -> None:
    """A request whose deadline passed in the queue is refused and never run."""
    first = ask(batcher, 1)
    await turn()
    late = ask(batcher, 2, deadline=5)
    await turn()
    clock.now = 5
    await executor.run_next()
    assert not executor.held
    with pytest.raises(DeadlineExceeded):
        await late
    await first
    assert batcher.runs == 1


async def test_passed_deadline_is_refused_on_arrival(batcher: Batcher, clock: FakeClock) -> None:
    """A request that is too late already never waits."""
    clock.now = 5
    with pytest.raises(DeadlineExceeded):
        await ask(batcher, 1, deadline=5)


async def test_deadline_is_told_while_a_run_hangs(executor: HeldExecutor) -> None:
    """Callers hear of their deadline even when the run before them, or their own, never ends."""
    batcher = make_batcher(DoublingRuntime(), executor)
    now = asyncio.get_running_loop().time()
    running = ask(batcher, 1, deadline=now + 0.02)
    await turn()
    waiting = ask(batcher, 2, deadline=now + 0.01)
    results = await asyncio.gather(running, waiting, return_exceptions=True)
    assert [type(result) for result in results] == [DeadlineExceeded, DeadlineExceeded]
    batcher.close()


async def test_closed_batcher_refuses_who_waits(batcher: Batcher) -> None:
    """Whoever waits when a model is closed is told, as is whoever comes later."""
    ask(batcher, 0)
    await turn()
    waiting = ask(batcher, 1)
    await turn()
    batcher.close()
    results = await asyncio.gather(waiting, ask(batcher, 2), return_exceptions=True)
    assert [type(result) for result in results] == [ModelNotReady, ModelNotReady]


async def test_executor_that_was_shut_down_fails_the_callers() -> None:
    """A late request at shutdown is told, and does not wait for ever."""

    class GoneExecutor(HeldExecutor):
        def submit(self, *_args: object, **_kwargs: object) -> None:  # type: ignore[override]
            raise RuntimeError("cannot schedule new futures after shutdown")

    batcher = make_batcher(DoublingRuntime(), GoneExecutor())
    with pytest.raises(ModelNotReady):
        await ask(batcher, 1)


async def test_prediction_tells_what_it_took() -> None:
    """An answer names the rows of its run and times that are not negative; counters follow."""
    batcher = make_batcher(DoublingRuntime(), InlineExecutor())
    prediction, _ = await asyncio.gather(ask(batcher, 1), ask(batcher, 2, 3))
    assert prediction.batch_rows == 3
    assert prediction.queue_seconds >= 0
    assert prediction.compute_seconds >= 0
    assert (batcher.runs, batcher.rows, batcher.failures) == (1, 3, 0)
