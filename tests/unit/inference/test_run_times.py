"""The learning rule: which number of rows a run should have, by what runs took."""

import math
from collections.abc import Callable
from random import Random

import pytest

from inference.run_times import RunTimes, sizes_up_to

KEY = ("FP32",)
OTHER_KEY = ("FP64",)
MOST_ROWS = 64
SIZES = sizes_up_to(MOST_ROWS)

Cost = Callable[[int], float]


def weights(rows: int) -> float:
    """Cost mostly the reading of weights, as a wide perceptron does."""
    return 0.005 + 0.00025 * rows


def layers(rows: int) -> float:
    """Cost more for each row in larger batches, as a conv net does whose layers leave the cache."""
    return rows * min(0.0012 * float(rows**0.25), 0.0026)


def rows(count: int) -> float:
    """Cost the same for each row."""
    return 0.001 * count


def measured(cost: Cost) -> dict[int, float]:
    """Time every size, as the warm-up does."""
    return {size: cost(size) for size in SIZES}


def serve(times: RunTimes, cost: Cost, *, runs: int, noise: float = 0.0) -> tuple[float, float]:
    """Run full batches for a while; return all rows and all seconds."""
    random, total, spent = Random(1), 0, 0.0  # noqa: S311 - noise
    for _ in range(runs):
        count = times.rows_for(MOST_ROWS)
        seconds = cost(count) * math.exp(random.gauss(0, noise))
        times.observe(count, seconds, KEY)
        total, spent = total + count, spent + seconds
    return total, spent


def test_sizes_double_up_to_the_most_rows() -> None:
    """The most rows themselves are always among them."""
    assert sizes_up_to(1) == [1]
    assert sizes_up_to(24) == [1, 2, 4, 8, 16, 24]


def test_weights_are_read_for_as_many_rows_as_possible() -> None:
    """Where a run costs much whatever its rows, runs are full."""
    assert RunTimes(MOST_ROWS, measured(weights)).best_rows == MOST_ROWS


def test_layers_that_leave_the_cache_are_run_alone() -> None:
    """Where rows cost more together, they are run apart, also those of one request."""
    times = RunTimes(MOST_ROWS, measured(layers))
    assert (times.best_rows, times.whole_rows) == (1, 1)
    assert times.rows_for(MOST_ROWS) == 1


def test_few_rows_are_taken_together_where_that_is_best() -> None:
    """Whoever waits is taken, though a full run would have more rows in a second."""
    assert RunTimes(MOST_ROWS, measured(weights)).rows_for(5) >= 5


def test_smaller_size_is_taken_where_it_is_as_good() -> None:
    """Callers of a short run go sooner; a run's own cost beside the model keeps it from being 1."""
    assert 1 < RunTimes(MOST_ROWS, measured(rows)).best_rows < MOST_ROWS


@pytest.mark.parametrize("cost", [weights, layers, rows])
@pytest.mark.parametrize("is_warm", [True, False])
def test_best_rate_is_found_and_kept(cost: Cost, *, is_warm: bool) -> None:
    """With noise and trials, nine tenths of the best rate or more; with and without a warm-up."""
    times = RunTimes(MOST_ROWS, measured(cost) if is_warm else None)
    serve(times, cost, runs=1000, noise=0.2)
    total, spent = serve(times, cost, runs=1000)
    assert total / spent >= 0.9 * max(size / cost(size) for size in SIZES)


def test_change_of_the_model_is_noticed() -> None:
    """Batches that begin to hurt, as beside a neighbour who takes the cache, become smaller."""
    times = RunTimes(MOST_ROWS, measured(weights))
    serve(times, layers, runs=4000)
    assert times.best_rows <= 8


def test_slow_hour_changes_no_choice() -> None:
    """A machine that is three times as slow is so for every size."""
    times = RunTimes(MOST_ROWS, measured(weights))
    serve(times, lambda rows: 3 * weights(rows), runs=500)
    assert times.best_rows == MOST_ROWS
    assert times.seconds(8, KEY) == pytest.approx(3 * weights(8), rel=0.3)


def test_busy_machine_makes_long_runs_no_worse() -> None:
    """Sizes are compared by what the processor did, and times are estimated by the clock."""
    times = RunTimes(MOST_ROWS, measured(weights))
    for _ in range(500):
        count = times.rows_for(MOST_ROWS)
        interrupted = weights(count) * (4 if count > 8 else 1)
        times.observe(count, interrupted, KEY, work_seconds=weights(count))
    assert times.best_rows == MOST_ROWS
    assert times.seconds(MOST_ROWS, KEY) == pytest.approx(4 * weights(MOST_ROWS), rel=0.3)


def test_trials_cost_little() -> None:
    """Looking at other sizes takes at most a fiftieth of the time."""
    times = RunTimes(MOST_ROWS, measured(weights))
    total, spent = serve(times, weights, runs=2000)
    assert spent / total <= 1.02 * weights(MOST_ROWS) / MOST_ROWS


def test_time_is_estimated_from_what_such_items_took() -> None:
    """Items of another shape are unknown until one has run."""
    times = RunTimes(MOST_ROWS, measured(rows))
    times.observe(4, 0.004, KEY)
    times.observe(4, 0.4, OTHER_KEY)
    assert times.seconds(8, KEY) == pytest.approx(0.008)
    assert times.seconds(8, OTHER_KEY) == pytest.approx(0.8)
    assert times.seconds(8, ("INT8",)) == 0


def test_shapes_of_the_past_are_forgotten() -> None:
    """Memory is bounded, however many shapes callers send."""
    times = RunTimes(MOST_ROWS, measured(rows))
    for shape in range(1000):
        times.observe(1, 0.001, (shape,))
    assert times.seconds(1, (0,)) == 0
    assert times.seconds(1, (999,)) > 0


def test_rows_that_fit_into_a_time_are_found() -> None:
    """The largest size that is over in time, and one row where none is."""
    times = RunTimes(MOST_ROWS, measured(rows))
    times.observe(1, 0.001, KEY)
    assert times.rows_within(0.0081, KEY) == 8
    assert times.rows_within(0.0, KEY) == 1
