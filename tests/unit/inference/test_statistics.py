"""Statistics of a model version: what was run, for whom, and how long it took."""

import asyncio

import pytest

from inference.batch_run import BatchRun, Outcome
from inference.errors import ModelFailed
from inference.requests import Request
from inference.statistics import ModelStatistics
from tests.unit.inference.fakes import POISON, DoublingRuntime, InlineExecutor, ask, make_batcher


def request(rows: int, *, waited: float, computed: float = 2.0) -> Request:
    """Make a request whose last piece has run."""
    return Request(
        tensors={},
        rows=rows,
        lane="a",
        deadline=0,
        key=(),
        arrived=0.0,
        answer=asyncio.get_running_loop().create_future(),
        queue_seconds=waited,
        compute_seconds=computed,
    )


def run_of(*outcomes: Outcome, runs: int = 1) -> BatchRun:
    """Make a run of two seconds."""
    return BatchRun(list(outcomes), runs=runs, is_splittable=True, started=1.0, seconds=2.0)


async def test_shared_run_counts_once_for_the_model_and_fully_for_each_request() -> None:
    """Two requests of three rows in a run of two seconds."""
    statistics = ModelStatistics(now_ms=lambda: 17)
    settled: list[tuple[Request, Outcome]] = [
        (request(1, waited=1.0), {}),
        (request(2, waited=3.0), {}),
    ]
    statistics.note_run(run_of({}, {}), 3, settled)
    assert (statistics.rows, statistics.executions, statistics.last_inference_ms) == (3, 1, 17)
    assert (statistics.queue.count, statistics.queue.seconds) == (2, 4.0)
    assert (statistics.compute.count, statistics.compute.seconds) == (2, 4.0)
    assert statistics.success.nanoseconds == 8_000_000_000
    assert {size: took.count for size, took in statistics.batches.items()} == {3: 1}


async def test_failed_requests_stand_apart() -> None:
    """A run that was repeated singly has no size of its own."""
    statistics = ModelStatistics()
    failure = ModelFailed("x")
    settled: list[tuple[Request, Outcome]] = [
        (request(1, waited=0), {}),
        (request(1, waited=0), failure),
    ]
    statistics.note_run(run_of({}, failure, runs=3), 2, settled)
    assert (statistics.rows, statistics.executions) == (1, 1)
    assert (statistics.success.count, statistics.fail.count) == (1, 1)
    assert statistics.batches == {}


async def test_nothing_is_answered_by_a_run_that_fails() -> None:
    """The time of the last inference stays."""
    statistics = ModelStatistics()
    failure = ModelFailed("x")
    statistics.note_run(run_of(failure), 1, [(request(1, waited=1.0), failure)])
    assert (statistics.last_inference_ms, statistics.executions) == (0, 0)
    assert statistics.fail.nanoseconds == 3_000_000_000


async def test_piece_of_a_request_counts_for_the_model_alone() -> None:
    """The request is counted with its last piece."""
    statistics = ModelStatistics()
    statistics.note_run(run_of({}), 64, [])
    assert (statistics.executions, statistics.success.count) == (1, 0)


async def test_large_runs_are_counted_by_powers_of_two() -> None:
    """A caller who sends every size there is does not fill the memory."""
    statistics = ModelStatistics()
    for rows in (256, 257, 511, 512):
        statistics.note_run(run_of({}), rows, [])
    assert {size: took.count for size, took in statistics.batches.items()} == {256: 1, 512: 3}


async def test_batcher_notes_its_runs() -> None:
    """Answers and failures alike."""
    batcher = make_batcher(DoublingRuntime(), InlineExecutor())
    await ask(batcher, 1, 2)
    with pytest.raises(ModelFailed):
        await ask(batcher, POISON)
    statistics = batcher.statistics
    assert (statistics.rows, statistics.success.count, statistics.fail.count) == (2, 1, 1)
