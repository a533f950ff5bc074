"""Large requests: cut into pieces for several runs, answered as one."""

import pytest

from inference.batcher import Batcher
from inference.errors import (
    ModelFailed,
)
from tests.unit.inference.fakes import (
    POISON,
    DoublingRuntime,
    HeldExecutor,
    ask,
    doubled,
    turn,
)


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
