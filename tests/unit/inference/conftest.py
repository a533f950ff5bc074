"""A batcher on an engine, a thread and a clock that the test drives."""

from collections.abc import Iterator

import pytest

from inference.batcher import Batcher
from tests.unit.inference.fakes import DoublingRuntime, FakeClock, HeldExecutor, make_batcher


@pytest.fixture
def runtime() -> DoublingRuntime:
    """Give an engine that doubles."""
    return DoublingRuntime()


@pytest.fixture
def executor() -> HeldExecutor:
    """Give a thread that the test drives."""
    return HeldExecutor()


@pytest.fixture
def clock() -> FakeClock:
    """Give a clock that the test sets."""
    return FakeClock()


@pytest.fixture
def batcher(
    runtime: DoublingRuntime, executor: HeldExecutor, clock: FakeClock
) -> Iterator[Batcher]:
    """Give a batcher of 8 rows a run and 16 rows of queue."""
    batcher = make_batcher(runtime, executor, max_batch_size=8, max_queue_rows=16, clock=clock)
    yield batcher
    batcher.close()
