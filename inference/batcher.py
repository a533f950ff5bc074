"""Let everyone who waits for one model version share its next run.

The first arrival schedules a run at the end of the loop's current round. While a run is on,
arrivals wait, and where they fill a batch the thread takes it by itself: it needs nothing of the
loop, which may be busy with refusing others. Nobody waits on a timer unless the model's author
wants it, and a lone caller runs at once.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from threading import Lock
from time import perf_counter
from typing import NamedTuple

from inference.batch_queue import BatchQueue, QueueLimits, Settled
from inference.batch_run import BatchRun, run_batch
from inference.errors import DeadlineExceeded, ModelNotReady
from inference.requests import Piece, Request
from inference.run_times import RunTimes
from inference.runtime import Runtime
from inference.statistics import ModelStatistics
from inference.tensors import Tensors

logger = logging.getLogger(__name__)

_SLOW_SECONDS = 0.005
_SLOW_RUNS = 3


class Prediction(NamedTuple):
    """One request's own rows of every output, and what they took."""

    outputs: Tensors
    queue_seconds: float
    compute_seconds: float
    batch_rows: int


class _Done(NamedTuple):
    """A run that is over, and whom it answers."""

    rows: int
    run: BatchRun
    settled: list[Settled]


class Batcher:
    """Run one model version for many callers.

    Concurrency: used from one event loop; at most one run at a time, in the executor, or on the
    loop where `quick_rows` says that so few rows run quicker than a thread takes its turn. The
    queue is shared with the executor's thread under a lock, which nobody holds for longer than it
    takes to choose a batch. Cost on the loop: a future, a lock and two dictionary entries for each
    request, no task and no timer.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        executor: Executor,
        limits: QueueLimits,
        run_seconds: Mapping[int, float] | None = None,
        slow_seconds: float = _SLOW_SECONDS,
        name: str = "model",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make it ready; `run_seconds` is what the warm-up measured: rows to seconds."""
        self.runs = 0
        self.rows = 0
        self.failures = 0
        self.statistics = ModelStatistics()
        self.on_run: Callable[[BatchRun, int], None] = _tell_nobody
        """Told of each run and its rows."""
        self.times = RunTimes(limits.max_batch_size, run_seconds)
        """What was learned of the runs."""
        self._runtime = runtime
        self._executor = executor
        self._slow_seconds = slow_seconds
        self._slow_runs = 0
        self._name = name
        self._clock = clock
        self._input_names = runtime.signature.input_names
        self._lock = Lock()
        self._queue = BatchQueue(limits, self.times, can_share=runtime.signature.is_batchable)
        self._running: list[Piece] = []
        self._is_busy = False
        self._is_closed = False
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = math.inf
        self._pause: asyncio.TimerHandle | None = None

    async def predict(
        self, tensors: Tensors, *, rows: int, lane: str, deadline: float, weight: int = 1
    ) -> Prediction:
        """Wait for the own rows' share of a run, or of several.

        Units: `deadline` is a time of the loop's clock. `weight` is the lane's share of the rows
        beside other lanes.

        Raises:
            TooManyRows: more rows than the queue can ever hold.
            QueueFull: no room now; also for a waiting request that a smaller lane displaces.
            DeadlineExceeded: the deadline passed, or will have before the answer is there; a
                request that still waits is never run.
            InputInvalid: the graph cannot take values like these.
            ModelFailed: the model failed on these rows alone.
            ModelNotReady: the model was closed.
        """
        request = self._enqueue(tensors, rows, lane=lane, weight=weight, deadline=deadline)
        try:
            prediction: Prediction = await request.answer
        except asyncio.CancelledError:
            with self._lock:
                self._queue.remove(request)
            raise
        return prediction

    @property
    def waiting_rows(self) -> int:
        """How many rows wait for a run."""
        return self._queue.rows

    def check_room(
        self, *, rows: int, lane: str, deadline: float = math.inf, weight: int = 1
    ) -> None:
        """Refuse what `predict` would refuse now, before anybody spends more on it.

        Raises:
            TooManyRows: more rows than the queue can ever hold.
            QueueFull: no room now.
            DeadlineExceeded: it could not be answered in time.
        """
        now = self._clock()
        with self._lock:  # reads of the queue must not be torn by the thread
            self._queue.check(rows, lane, weight=weight, deadline=deadline, now=now)

    def close(self) -> None:
        """Refuse everything that waits and everything to come; a run that is on still answers."""
        self._is_closed = True
        self._refuse_all("closed")
        for timer in (self._alarm, self._pause):
            if timer is not None:
                timer.cancel()

    def _enqueue(
        self, tensors: Tensors, rows: int, *, lane: str, weight: int, deadline: float
    ) -> Request:
        loop = asyncio.get_running_loop()
        now = self._clock()
        if self._is_closed:
            raise ModelNotReady(self._name, "closed")
        if deadline <= now:
            raise DeadlineExceeded
        arrays = [tensors[name] for name in self._input_names]
        request = Request(
            tensors,
            rows,
            lane,
            deadline,
            tuple([(array.dtype.num, array.shape[1:]) for array in arrays]),
            perf_counter(),
            loop.create_future(),
            weight,
        )
        with self._lock:
            displaced = self._queue.add(request, now=now)
            is_first, self._is_busy = not self._is_busy, True
        for other, refusal in displaced:
            _fail(other, refusal)
        if deadline < self._alarm_at:
            self._set_alarm(loop, deadline, now)
        if is_first:
            loop.call_soon(self._start, loop)
        return request

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start a run with whoever waits; whoever calls this has made the batcher busy."""
        now = self._clock()
        if now >= self._alarm_at:
            self._expire(loop)
        with self._lock:
            pause = self._queue.pause(now)
            if pause:
                self._is_busy = False
            is_quick = self._queue.is_quick
        if pause:
            self._start_in(loop, pause)
        elif is_quick:
            self._run_here(loop, now)
        else:
            self._submit(loop)

    def _start_in(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        """Come back when no further rows are worth waiting for."""
        if self._pause is not None:
            self._pause.cancel()
        self._pause = loop.call_later(seconds, self._start_again, loop)

    def _start_again(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the next run, unless nobody waits or somebody else does so."""
        with self._lock:
            is_first = not self._is_busy and self._queue.rows > 0
            self._is_busy |= is_first
        if is_first:
            self._start(loop)

    def _submit(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            self._executor.submit(self._run, loop)
        except RuntimeError:
            with self._lock:
                self._is_busy = False
            loop.call_soon_threadsafe(self._refuse_all, "shut down")

    def _take(self, loop: asyncio.AbstractEventLoop, now: float) -> list[Piece]:
        """Take the next batch, and have those told who cannot be in it any more."""
        with self._lock:
            batch, late = self._queue.take(now)
            self._running = batch
            self._is_busy = bool(batch)
        if late:
            loop.call_soon_threadsafe(_refuse_late, late)
        return batch

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run a batch in the executor's thread, and queue up for the next one if it is full.

        One that is not full is the loop's to start, since more callers may be about to join it. The
        outcomes reach the loop in one call. Other models have their turns in between, since all
        queue up at the same executor.
        """
        batch = self._take(loop, self._clock())
        if not batch:
            return
        began = time.thread_time()
        run = self._run_batch(batch)
        work_seconds = time.thread_time() - began
        with self._lock:
            done = self._settle(batch, run, work_seconds=work_seconds)
            self._is_busy = is_full = self._queue.is_full
        loop.call_soon_threadsafe(self._finish_elsewhere, loop, done)
        if is_full:
            self._submit(loop)

    def _run_here(self, loop: asyncio.AbstractEventLoop, now: float) -> None:
        """Run a batch whose time is known to be shorter than a thread's turn.

        Threat: a model that turned slow would hold up every tenant, so three slow runs in a row
        send it to the thread for good.
        """
        batch = self._take(loop, now)
        if not batch:
            return
        run = self._run_batch(batch)
        self._slow_runs = self._slow_runs + 1 if run.seconds > self._slow_seconds else 0
        if self._slow_runs >= _SLOW_RUNS:
            self._queue.quick_rows = 0
            logger.warning("%s: runs take too long for the event loop", self._name)
        with self._lock:
            done = self._settle(batch, run, work_seconds=None)
            self._is_busy = False
        self._finish(done)
        if self._queue.rows:
            loop.call_soon(self._start_again, loop)

    def _run_batch(self, batch: list[Piece]) -> BatchRun:
        return run_batch(
            self._runtime, [piece.tensors for piece in batch], [piece.rows for piece in batch]
        )

    def _settle(self, batch: list[Piece], run: BatchRun, *, work_seconds: float | None) -> _Done:
        settled = self._queue.settle(batch, run, work_seconds=work_seconds)
        return _Done(sum([piece.rows for piece in batch]), run, settled)

    def _finish_elsewhere(self, loop: asyncio.AbstractEventLoop, done: _Done) -> None:
        """Start the next run, unless the thread has, and answer while that one computes."""
        self._start_again(loop)
        self._finish(done)

    def _finish(self, done: _Done) -> None:
        """Count a run, and answer its callers."""
        rows, run, settled = done
        self.runs += run.runs
        self.rows += rows
        self.on_run(run, rows)
        self.statistics.note_run(run, rows, settled)
        if not run.is_splittable:
            logger.warning("%s: outputs have no row for each row; batching is off", self._name)
        for request, outcome in settled:
            if not isinstance(outcome, dict):
                self.failures += 1
                _fail(request, outcome)
            elif not request.answer.done():
                request.answer.set_result(
                    Prediction(outcome, request.queue_seconds, request.compute_seconds, rows)
                )

    def _set_alarm(self, loop: asyncio.AbstractEventLoop, deadline: float, now: float) -> None:
        """Have one timer for the earliest deadline of all."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = deadline
        self._alarm = loop.call_later(max(deadline - now, 0), self._expire, loop)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tell everyone whose deadline has passed, and set the alarm for the next."""
        now = self._clock()
        self._alarm_at = earliest = math.inf
        with self._lock:
            pending = [*self._queue, *(piece.request for piece in self._running)]
            late = [request for request in pending if request.deadline <= now]
            for request in late:
                self._queue.remove(request)
        _refuse_late(late)
        for request in pending:
            if not request.answer.done():
                earliest = min(earliest, request.deadline)
        if earliest < math.inf:
            self._set_alarm(loop, earliest, now)

    def _refuse_all(self, reason: str) -> None:
        with self._lock:
            waiting = list(self._queue)
            for request in waiting:
                self._queue.remove(request)
        for request in waiting:
            _fail(request, ModelNotReady(self._name, reason))


def _tell_nobody(_run: BatchRun, _rows: int) -> None:
    """Stand where nobody wants to know of a run."""


def _refuse_late(requests: Iterable[Request]) -> None:
    for request in requests:
        _fail(request, DeadlineExceeded())


def _fail(request: Request, error: Exception) -> None:
    if not request.answer.done():
        request.answer.set_exception(error)
