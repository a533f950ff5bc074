"""Large requests: cut into pieces for several runs, answered as one."""

import asyncio
from typing import Never

import numpy as np
import pytest

from inference.batcher import Batcher
from inference.errors import (
    ModelFailed,
)
from inference.tensors import Tensor, Tensors
from tests.unit.inference.fakes import (
    POISON,
    DoublingRuntime,
    HeldExecutor,
    ask,
    doubled,
    make_batcher,
    turn,
)


class PaddingRuntime(DoublingRuntime):
    """Answer rows that are as wide as the largest value in any of them."""

    def run(self, tensors: Tensors, /) -> Tensors:
        """Pad."""
        doubled = super().run(tensors)["y"]
        return {"y": np.pad(doubled, [(0, 0), (0, int(doubled.max()))])}


class Unjoinable(np.ndarray[tuple[int, ...], np.dtype[np.float32]]):
    """An array for whose copy there is no memory."""

    def __array_function__(self, *_call: object) -> Never:
        """Put nothing together."""
        raise MemoryError


class UnjoinableRuntime(DoublingRuntime):
    """Double, in arrays that cannot be put together."""

    def run(self, tensors: Tensors, /) -> Tensors:
        """Double."""
        y: Tensor = super().run(tensors)["y"].view(Unjoinable)
        return {"y": y}


async def test_large_request_is_spread_over_runs(
    batcher: Batcher, runtime: DoublingRuntime, executor: HeldExecutor
) -> None:
    """More rows than a run takes are cut, answered whole and in order, and let others in."""
    large, small = ask(batcher, *range(12)), ask(batcher, 70, lane="b")
    await turn()
    await executor.run_all()
    assert doubled(await large) == [2.0 * value for value in range(12)]
    assert doubled(await small) == [140]
    assert runtime.rows_of_runs == [8, 5]


async def test_large_request_fails_as_one(
    batcher: Batcher, runtime: DoublingRuntime, executor: HeldExecutor
) -> None:
    """One bad row in any piece fails the request, and what is left of it is not run."""
    large = ask(batcher, *range(7), POISON, *range(8))
    await turn()
    await executor.run_all()
    with pytest.raises(ModelFailed):
        await large
    assert runtime.rows_of_runs == [8]


async def test_caller_of_a_large_request_leaves(
    batcher: Batcher, runtime: DoublingRuntime, executor: HeldExecutor
) -> None:
    """What was not run yet is dropped."""
    large = ask(batcher, *range(16))
    await turn()
    large.cancel()
    await turn()
    await executor.run_all()
    assert runtime.rows_of_runs == [8]
    assert batcher.waiting_rows == 0


async def test_pieces_of_unlike_width_are_run_again_as_one(executor: HeldExecutor) -> None:
    """Where the size of an item follows from the values of all rows, nothing is shared or cut."""
    runtime = PaddingRuntime()
    batcher = make_batcher(runtime, executor, max_batch_size=8)
    large = ask(batcher, *range(12))
    await turn()
    await executor.run_all()
    assert (await large).outputs["y"].shape == (12, 23)
    later = [ask(batcher, 1), ask(batcher, 2)]
    await turn()
    await executor.run_all()
    await asyncio.gather(*later)
    assert runtime.rows_of_runs == [8, 4, 12, 1, 1]


@pytest.mark.parametrize("quick_rows", [0, 8])
async def test_answer_that_cannot_be_put_together_fails_alone(
    executor: HeldExecutor, quick_rows: int
) -> None:
    """Its caller is told, and whoever comes later has a run, in the thread and on the loop."""
    runtime = UnjoinableRuntime()
    batcher = make_batcher(runtime, executor, max_batch_size=8, quick_rows=quick_rows)
    large = ask(batcher, *range(12))
    await turn()
    await executor.run_all()
    with pytest.raises(ModelFailed):
        await asyncio.wait_for(large, 5)
    later = ask(batcher, 1)
    await turn()
    await executor.run_all()
    assert (await asyncio.wait_for(later, 5)).outputs["y"].tolist() == [[2]]
