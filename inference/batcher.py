"""Let everyone who waits for one model version share its next run.

The first arrival schedules a flush at the end of the loop's current round; while a run is on,
arrivals wait, and the next run takes all of them up to `max_batch_size` rows. Nobody waits on a
timer, and a lone caller runs at once.
"""

import asyncio
import logging
import math
from collections.abc import Callable
from concurrent.futures import Executor
from time import perf_counter
from typing import NamedTuple

from inference.batch_run import BatchRun, run_batch
from inference.errors import DeadlineExceeded, ModelNotReady, QueueFull, TooManyRows
from inference.lanes import Lanes, Request
from inference.runtime import Runtime
from inference.tensors import Tensors

logger = logging.getLogger(__name__)

_SLOW_SECONDS = 0.005
_SLOW_RUNS = 3
_NEW_WEIGHT = 0.2
"""Weight of the latest run in the moving average of seconds for each row."""


class Prediction(NamedTuple):
    """One request's own rows of every output, and what they took."""

    outputs: Tensors
    queue_seconds: float
    compute_seconds: float
    batch_rows: int


class Batcher:
    """Run one model version for many callers.

    Concurrency: used from one event loop; at most one run at a time, in the executor, or on the
    loop where `quick_rows` says that so few rows run quicker than a thread takes its turn. Cost on
    the loop: a future and two dictionary entries for each request, no task and no timer.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        executor: Executor,
        max_batch_size: int = 64,
        max_queue_rows: int = 4096,
        quick_rows: int = 0,
        slow_seconds: float = _SLOW_SECONDS,
        name: str = "model",
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.runs = 0
        self.rows = 0
        self.failures = 0
        self.on_run: Callable[[BatchRun, int], None] = _tell_nobody
        """Told of each run and its rows."""
        self._runtime = runtime
        self._executor = executor
        self._capacity = max_batch_size if runtime.signature.is_batchable else 1
        self._max_queue_rows = max_queue_rows
        self._quick_rows = quick_rows
        self._slow_seconds = slow_seconds
        self._slow_runs = 0
        self._name = name
        self._given_clock = clock
        self._input_names = runtime.signature.input_names
        self._lanes = Lanes()
        self._running: list[Request] = []
        self._is_busy = False
        self._is_closed = False
        self._row_seconds = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = math.inf

    async def predict(
        self, tensors: Tensors, *, rows: int, lane: str, deadline: float
    ) -> Prediction:
        """Wait for the own rows' share of a run. Units: `deadline` is a time of the loop's clock.

        Raises:
            TooManyRows: more rows than the queue can ever hold.
            QueueFull: no room now; also for a waiting request that a smaller lane displaces.
            DeadlineExceeded: the deadline passed; a request that still waits is never run.
            InputInvalid: the graph cannot take values like these.
            ModelFailed: the model failed on these rows alone.
            ModelNotReady: the model was closed.
        """
        request = self._enqueue(tensors, rows, lane=lane, deadline=deadline)
        try:
            prediction: Prediction = await request.answer
        except asyncio.CancelledError:
            self._lanes.remove(request)
            raise
        return prediction

    @property
    def waiting_rows(self) -> int:
        """How many rows wait for a run."""
        return self._lanes.rows

    def check_room(self, *, rows: int, lane: str) -> None:
        """Refuse what `predict` would refuse now, before anybody spends more on it.

        Raises:
            TooManyRows: more rows than the queue can ever hold.
            QueueFull: no room now.
        """
        limit = self._max_queue_rows
        if self._lanes.rows + rows <= limit:
            return
        if rows > limit:
            raise TooManyRows(limit)
        if not self._lanes.may_make_room(rows, lane, limit):
            raise QueueFull(self._seconds_until_room())

    def close(self) -> None:
        """Refuse everything that waits and everything to come; a run that is on still answers."""
        self._is_closed = True
        for request in list(self._lanes):
            self._lanes.remove(request)
            _fail(request, ModelNotReady(self._name, "closed"))
        if self._alarm is not None:
            self._alarm.cancel()

    def _enqueue(self, tensors: Tensors, rows: int, *, lane: str, deadline: float) -> Request:
        loop = asyncio.get_running_loop()
        now = self._now(loop)
        if self._is_closed:
            raise ModelNotReady(self._name, "closed")
        if deadline <= now:
            raise DeadlineExceeded
        if self._lanes.rows + rows > self._max_queue_rows:
            self._make_room(rows, lane)
        arrays = [tensors[name] for name in self._input_names]
        request = Request(
            tensors=tensors,
            rows=rows,
            lane=lane,
            deadline=deadline,
            key=tuple([(array.dtype.num, array.shape[1:]) for array in arrays]),
            arrived=perf_counter(),
            answer=loop.create_future(),
        )
        self._lanes.add(request)
        if deadline < self._alarm_at:
            self._set_alarm(loop, deadline, now)
        if not self._is_busy:
            self._is_busy = True
            loop.call_soon(self._dispatch, loop)
        return request

    def _make_room(self, rows: int, lane: str) -> None:
        if rows > self._max_queue_rows:
            raise TooManyRows(self._max_queue_rows)
        evicted = self._lanes.make_room(rows, lane, self._max_queue_rows)
        if evicted is None:
            raise QueueFull(self._seconds_until_room())
        for request in evicted:
            _fail(request, QueueFull(self._seconds_until_room()))

    def _seconds_until_room(self) -> int:
        """Estimate from recent runs how long the rows that wait now will take."""
        return max(1, math.ceil(self._lanes.rows * self._row_seconds))

    def _dispatch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the next run with whoever waits; stay idle where nobody does."""
        now = self._now(loop)
        if now >= self._alarm_at:
            self._expire(loop)
        batch: list[Request] = []
        while not batch and (taken := self._lanes.take(self._capacity)):
            batch = [request for request in taken if not request.answer.done()]
        self._running = batch
        if not batch:
            self._is_busy = False
            return
        if sum([request.rows for request in batch]) <= self._quick_rows:
            self._run_here(loop, batch)
            return
        try:
            self._executor.submit(self._run, loop, batch)
        except RuntimeError:
            self._is_busy = False
            for request in batch:
                _fail(request, ModelNotReady(self._name, "shut down"))

    def _run(self, loop: asyncio.AbstractEventLoop, batch: list[Request]) -> None:
        """Run a batch in the executor's thread, and hand the outcomes to the loop in one call."""
        tensors = [request.tensors for request in batch]
        run = run_batch(self._runtime, tensors, [request.rows for request in batch])
        loop.call_soon_threadsafe(self._finish, loop, batch, run)

    def _run_here(self, loop: asyncio.AbstractEventLoop, batch: list[Request]) -> None:
        """Run a batch whose time is known to be shorter than a thread's turn.

        Threat: a model that turned slow would hold up every tenant, so three slow runs in a row
        send it to the thread for good.
        """
        tensors = [request.tensors for request in batch]
        run = run_batch(self._runtime, tensors, [request.rows for request in batch])
        self._slow_runs = self._slow_runs + 1 if run.seconds > self._slow_seconds else 0
        if self._slow_runs >= _SLOW_RUNS:
            self._quick_rows = 0
            logger.warning("%s: runs take too long for the event loop", self._name)
        loop.call_soon(self._finish, loop, batch, run)

    def _finish(self, loop: asyncio.AbstractEventLoop, batch: list[Request], run: BatchRun) -> None:
        """Count a run, start the next one, and answer the callers while that one computes."""
        rows = sum([request.rows for request in batch])
        self.runs += run.runs
        self.rows += rows
        self.on_run(run, rows)
        self._row_seconds += _NEW_WEIGHT * (run.seconds / max(rows, 1) - self._row_seconds)
        if not run.is_splittable:
            self._capacity = 1
            logger.warning("%s: outputs have no row for each row; batching is off", self._name)
        self._dispatch(loop)
        for request, outcome in zip(batch, run.outcomes, strict=True):
            if not isinstance(outcome, dict):
                self.failures += 1
                _fail(request, outcome)
            elif not request.answer.done():
                queue_seconds = run.started - request.arrived
                request.answer.set_result(Prediction(outcome, queue_seconds, run.seconds, rows))

    def _set_alarm(self, loop: asyncio.AbstractEventLoop, deadline: float, now: float) -> None:
        """Have one timer for the earliest deadline of all."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = deadline
        self._alarm = loop.call_later(max(deadline - now, 0), self._expire, loop)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tell everyone whose deadline has passed, and set the alarm for the next."""
        now = self._now(loop)
        self._alarm_at = math.inf
        earliest = math.inf
        for request in [*self._lanes, *self._running]:
            if request.deadline <= now:
                self._lanes.remove(request)
                _fail(request, DeadlineExceeded())
            elif not request.answer.done():
                earliest = min(earliest, request.deadline)
        if earliest < math.inf:
            self._set_alarm(loop, earliest, now)

    def _now(self, loop: asyncio.AbstractEventLoop) -> float:
        return loop.time() if self._given_clock is None else self._given_clock()


def _tell_nobody(_run: BatchRun, _rows: int) -> None:
    """Stand where nobody wants to know of a run."""


def _fail(request: Request, error: Exception) -> None:
    if not request.answer.done():
        request.answer.set_exception(error)
