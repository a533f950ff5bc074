"""Two tracks: where one lane floods, the others do not wait for its runs."""

import asyncio
from collections.abc import Iterator

import pytest

from inference.batcher import Batcher, Prediction
from tests.unit.inference.fakes import (
    DoublingRuntime,
    FakeClock,
    HeldExecutor,
    ask,
    doubled,
    make_batcher,
    turn,
)

CAPACITY = 8


@pytest.fixture
def back() -> HeldExecutor:
    """Give the thread of the back track."""
    return HeldExecutor()


@pytest.fixture
def divided(
    runtime: DoublingRuntime, *, executor: HeldExecutor, back: HeldExecutor, clock: FakeClock
) -> Iterator[Batcher]:
    """Give a batcher with two tracks."""
    batcher = make_batcher(
        runtime, executor, back_executor=back, max_batch_size=CAPACITY, clock=clock
    )
    yield batcher
    batcher.close()


async def flood(batcher: Batcher, requests: int) -> list[asyncio.Task[Prediction]]:
    """Send many requests of one lane at once."""
    asked = [ask(batcher, value, lane="flood") for value in range(requests)]
    await turn()
    return asked


async def end(executor: HeldExecutor, back: HeldExecutor) -> None:
    """Run everything that there is."""
    while executor.held or back.held:
        await executor.run_all()
        await back.run_all()


async def test_quiet_lane_runs_beside_a_flood(
    divided: Batcher, executor: HeldExecutor, back: HeldExecutor
) -> None:
    """It is answered while the run of the flood is on, and by itself."""
    flooding = await flood(divided, 3 * CAPACITY)
    assert (executor.held, back.held) == (0, 1)
    quiet = ask(divided, 100, lane="quiet")
    await turn()
    await executor.run_next()
    assert doubled(await quiet) == [200]
    assert not any(task.done() for task in flooding)
    await end(executor, back)


async def test_flood_that_runs_quickly_is_in_one_line_with_the_others(
    runtime: DoublingRuntime, *, executor: HeldExecutor, back: HeldExecutor, clock: FakeClock
) -> None:
    """Nobody waits for a run that is over before a thread had begun."""
    divided = make_batcher(
        runtime,
        executor,
        back_executor=back,
        max_batch_size=CAPACITY,
        quick_rows=4 * CAPACITY,
        clock=clock,
    )
    flooding = await flood(divided, 3 * CAPACITY)
    quiet = ask(divided, 100, lane="quiet")
    assert doubled(await quiet) == [200]
    assert (executor.held, back.held) == (0, 0)
    await asyncio.gather(*flooding)
    divided.close()


async def test_flood_has_one_run_at_a_time(
    divided: Batcher, executor: HeldExecutor, back: HeldExecutor
) -> None:
    """However much of it waits, the front track is not its own."""
    flooding = await flood(divided, 3 * CAPACITY)
    flooding += await flood(divided, CAPACITY)
    assert (executor.held, back.held) == (0, 1)
    await end(executor, back)
    assert all(task.done() for task in flooding)


async def test_quiet_lane_is_not_taken_by_the_run_of_the_flood(
    divided: Batcher, runtime: DoublingRuntime, *, executor: HeldExecutor, back: HeldExecutor
) -> None:
    """What waits for the front track is none of a long run's rows, even where that begins first."""
    await flood(divided, 3 * CAPACITY)
    quiet = ask(divided, 100, lane="quiet")
    await turn()
    await back.run_next()
    await executor.run_next()
    assert doubled(await quiet) == [200]
    assert all(100 not in batch["x"] for batch in runtime.batches if len(batch["x"]) > 1)
    await end(executor, back)


async def test_lanes_without_a_flood_share_a_run(
    divided: Batcher, runtime: DoublingRuntime, *, executor: HeldExecutor, back: HeldExecutor
) -> None:
    """Nothing is divided where everybody has a share."""
    asked = [ask(divided, value, lane=f"lane {value}") for value in range(CAPACITY)]
    await turn()
    await executor.run_all()
    await asyncio.gather(*asked)
    assert (back.held, runtime.rows_of_runs) == (0, [CAPACITY])


async def test_lone_lane_that_fits_a_run_stays_in_front(
    divided: Batcher, executor: HeldExecutor, back: HeldExecutor
) -> None:
    """Many callers of one tenant are no flood while nobody else is about."""
    asked = await flood(divided, CAPACITY)
    await executor.run_all()
    await asyncio.gather(*asked)
    assert back.most_submitted == 0


async def test_lane_of_most_rows_is_behind_its_company(
    divided: Batcher, executor: HeldExecutor, back: HeldExecutor
) -> None:
    """One whose batches would hold everybody up runs behind, though no more than one run waits."""
    quiet = ask(divided, 100, lane="quiet")
    await turn()
    asked = await flood(divided, CAPACITY - 1)
    assert (executor.held, back.held) == (1, 1)
    await end(executor, back)
    await asyncio.gather(quiet, *asked)


async def test_single_large_request_is_no_flood(
    divided: Batcher, executor: HeldExecutor, back: HeldExecutor
) -> None:
    """It has its own bound in a round, as every lane, from its first piece to its last."""
    other = ask(divided, 100, lane="other")
    await turn()
    large = ask(divided, *range(3 * CAPACITY), lane="large")
    await turn()
    while executor.held or back.held:
        assert (executor.held, back.held) == (1, 0)
        await executor.run_next()
    await asyncio.gather(other, large)


async def test_lane_is_forgotten_as_a_flood_after_a_while(
    divided: Batcher, *, executor: HeldExecutor, back: HeldExecutor, clock: FakeClock
) -> None:
    """A second after it flooded last, a caller of it is like any other."""
    await flood(divided, 3 * CAPACITY)
    await end(executor, back)
    clock.now += 2
    asked = ask(divided, 1, lane="flood")
    await turn()
    assert (executor.held, back.held) == (1, 0)
    await end(executor, back)
    await asked


async def test_lane_below_its_share_is_not_kept_by_its_debt(
    divided: Batcher, executor: HeldExecutor, back: HeldExecutor
) -> None:
    """One that took more than its share in front waits for a turn behind, and is answered."""
    await flood(divided, 6 * CAPACITY)
    first = ask(divided, *range(CAPACITY), lane="quiet")
    await turn()
    await executor.run_next()
    second = ask(divided, *range(CAPACITY), lane="quiet")
    await turn()
    await end(executor, back)
    assert len(doubled(await first)) == len(doubled(await second)) == CAPACITY
