"""Stand-ins for an engine and a thread, which tests drive step by step."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any

import numpy as np

from inference.batch_queue import QueueLimits
from inference.batch_run import BatchRun
from inference.batcher import Batcher, Prediction
from inference.requests import Piece
from inference.signature import Signature, TensorSpec
from inference.tensors import Tensors
from inference.tracks import BackExecutors

POISON = -1.0
FLAT = dict.fromkeys((1, 2, 4, 8, 16, 32, 64), 1e-3)
"""Seconds of runs that cost the same whatever their rows: large batches are best."""

FAR = 1e18


def doubling_signature(*, is_batchable: bool = True) -> Signature:
    """Describe the fake: x and y of shape [rows, any]."""
    return Signature(
        (TensorSpec("x", "FP32", (-1, -1)),), (TensorSpec("y", "FP32", (-1, -1)),), is_batchable
    )


def _go_on() -> None:
    """Hold nobody up."""


class DoublingRuntime:
    """Answer twice the input, fail on POISON anywhere, and remember what was run."""

    def __init__(self, *, is_batchable: bool = True) -> None:
        self.signature = doubling_signature(is_batchable=is_batchable)
        self.batches: list[Tensors] = []
        self.is_closed = False
        self.before_run: Callable[[], None] = _go_on

    @property
    def rows_of_runs(self) -> list[int]:
        """Count the rows of each run so far."""
        return [len(batch["x"]) for batch in self.batches]

    def run(self, tensors: Tensors, /) -> Tensors:
        """Double."""
        self.before_run()
        self.batches.append(tensors)
        if (tensors["x"] == POISON).any():
            raise RuntimeError("poison")
        return {"y": tensors["x"] * 2}

    def close(self) -> None:
        """Remember it."""
        self.is_closed = True


class SummingRuntime(DoublingRuntime):
    """Answer a single sum over all rows, so that the output has no row for each row."""

    def run(self, tensors: Tensors, /) -> Tensors:
        """Sum up."""
        self.before_run()
        self.batches.append(tensors)
        return {"y": np.array([tensors["x"].sum()])}


class HeldExecutor(Executor):
    """One thread, which stops before each run until the test lets it go on.

    Thread and test are never active at the same time, so that every interleaving is the test's.
    """

    def __init__(self) -> None:
        self.held = 0
        """Runs that the thread has stopped before: one or none."""
        self.thread: threading.Thread | None = None
        self.most_submitted = 0
        self._jobs: deque[Callable[[], object]] = deque()
        self._is_at_work = False
        self._is_running = False
        self._stopped = threading.Semaphore(0)
        self._go_on = threading.Semaphore(0)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401 - as the superclass
        """Begin a call, up to the run in it; it waits where another one is begun."""
        self._jobs.append(lambda: fn(*args, **kwargs))
        self.most_submitted = max(self.most_submitted, self.held + len(self._jobs))
        if not self._is_at_work:
            self._begin()
        return Future()

    def before_run(self) -> None:
        """Stop the thread, unless it was let go for this call already."""
        if self._is_at_work and not self._is_running:
            self.held = 1
            self._stopped.release()
            self._go_on.acquire()
            self._is_running = True

    def let_go(self) -> None:
        """Let the run that is held go on to its end, and begin the next."""
        self.held = 0
        self._go_on.release()
        self._stopped.acquire()
        self._begin()

    async def run_next(self) -> None:
        """Let the run that is held go on, and the loop take note of it."""
        self.let_go()
        await turn()

    async def run_all(self) -> None:
        """Run whatever is held, and what that brings, until nothing is."""
        while self.held:
            await self.run_next()

    def _begin(self) -> None:
        while self._jobs and not self.held:
            self._is_at_work = True
            job = self._jobs.popleft()
            self.thread = threading.Thread(target=self._work, args=(job,), daemon=True)
            self.thread.start()
            self._stopped.acquire()
        self._is_at_work = bool(self.held)

    def _work(self, job: Callable[[], object]) -> None:
        self._is_running = False
        try:
            job()
        finally:
            self._stopped.release()


class InlineExecutor(Executor):
    """Run what is submitted at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401 - as the superclass
        """Run a call."""
        fn(*args, **kwargs)
        return Future()


class FakeClock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def make_batcher(
    runtime: DoublingRuntime,
    executor: Executor,
    *,
    back_executor: Executor | None = None,
    run_seconds: Mapping[int, float] = FLAT,
    slow_seconds: float = 0.005,
    clock: Callable[[], float] = time.monotonic,
    **limits: float,
) -> Batcher:
    """Make a batcher that has learned its times already."""
    held = [one for one in (executor, back_executor) if isinstance(one, HeldExecutor)]
    if held:
        runtime.before_run = partial(_stop_in, held)
    return Batcher(
        runtime,
        executor=executor,
        back_executors=BackExecutors(back_executor, back_executor) if back_executor else None,
        limits=QueueLimits(**limits),  # type: ignore[arg-type]
        run_seconds=run_seconds,
        slow_seconds=slow_seconds,
        clock=clock,
    )


def _stop_in(executors: list[HeldExecutor]) -> None:
    """Stop the thread that this is; a run on the loop goes on."""
    for executor in executors:
        if executor.thread is threading.current_thread():
            executor.before_run()


async def turn() -> None:
    """Let the loop do everything that is ready."""
    for _ in range(5):
        await asyncio.sleep(0)


def rows_of(*values: float, width: int = 1) -> Tensors:
    """Make one row for each value."""
    return {"x": np.array([[value] * width for value in values], np.float32)}


def echo_run(batch: Sequence[Piece], *, started: float, seconds: float) -> BatchRun:
    """Tell of a run that nobody made: it answered every piece with its own values."""
    outcomes = [{"y": piece.tensors["x"]} for piece in batch]
    return BatchRun([*outcomes], 1, is_splittable=True, started=started, seconds=seconds)


def ask(
    batcher: Batcher, *values: float, lane: str = "a", deadline: float = FAR, width: int = 1
) -> asyncio.Task[Prediction]:
    """Send one request in a task of its own."""
    return asyncio.create_task(
        batcher.predict(
            rows_of(*values, width=width), rows=len(values), lane=lane, deadline=deadline
        )
    )


def doubled(prediction: Prediction) -> list[float]:
    """List the first column of an answer."""
    column: list[float] = prediction.outputs["y"][:, 0].tolist()
    return column
