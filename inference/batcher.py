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

from inference.alarm import Alarm
from inference.batch_queue import BatchQueue, QueueLimits, Settled
from inference.batch_run import BatchRun, run_batch
from inference.compute_account import ComputeAccount, ComputeBill
from inference.errors import DeadlineExceeded, ModelNotReady
from inference.line import Line
from inference.requests import Piece, Request
from inference.run_times import RunTimes
from inference.runtime import Runtime
from inference.statistics import ModelStatistics
from inference.tensors import Tensors
from inference.tracks import BackExecutors, Track

logger = logging.getLogger(__name__)

_SLOW_SECONDS = 0.005
_SLOW_RUNS = 3


class Prediction(NamedTuple):
    """One request's own rows of every output, and what they took."""

    outputs: Tensors
    queue_seconds: float
    compute_seconds: float
    """How long the runs took that it was in."""

    batch_rows: int
    bill: ComputeBill
    """Its part of the time of those runs; whoever takes the prediction settles it."""


class _Done(NamedTuple):
    """A run that is over, and whom it answers."""

    batch: list[Piece]
    run: BatchRun
    settled: list[Settled]


class Batcher:
    """Run one model version for many callers.

    Concurrency: used from one event loop; at most one run at a time on each track, in its executor,
    or on the loop where `quick_rows` says that so few rows run quicker than a thread takes its
    turn. The queue is shared with the executors' threads under a lock, which nobody holds for
    longer than it takes to choose a batch. Cost on the loop: a future, a lock and two dictionary
    entries for each request, no task and no timer.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        executor: Executor,
        back_executors: BackExecutors | None = None,
        limits: QueueLimits,
        run_seconds: Mapping[int, float] | None = None,
        warm_up_us: int = 0,
        slow_seconds: float = _SLOW_SECONDS,
        name: str = "model",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make it ready; `run_seconds` is what the warm-up measured: rows to seconds.

        Lanes that flood run in `back_executors`, beside the others; None keeps all in one line.
        """
        self.runs = 0
        self.rows = 0
        self.failures = 0
        self.statistics = ModelStatistics()
        self.compute = ComputeAccount()
        """How long the engine worked, and for whom."""
        self.compute.note_run(warm_up_us)
        self.on_run: Callable[[BatchRun, int], None] = _tell_nobody
        """Told of each run and its rows."""
        self.times = RunTimes(limits.max_batch_size, run_seconds)
        """What was learned of the runs."""
        self._runtime = runtime
        self._front = Line(Track.FRONT, executor, executor)
        self._lines = [self._front]
        if back_executors is not None:
            self._lines.append(Line(Track.BACK, *back_executors))
        self._slow_seconds = slow_seconds
        self._slow_runs = 0
        self._name = name
        self._clock = clock
        self._input_names = runtime.signature.input_names
        self._lock = Lock()
        self._queue = BatchQueue(
            limits,
            self.times,
            can_share=runtime.signature.is_batchable,
            is_divided=back_executors is not None,
        )
        self.is_closed = False
        self._alarm = Alarm(self._expire)
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
            self.compute.waive(request)
            raise
        finally:
            del request  # or an error that it is answered with would keep it, and its tensors
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
        self.is_closed = True
        self._refuse_all("closed")
        self._alarm.cancel()
        if self._pause is not None:
            self._pause.cancel()

    def _enqueue(
        self, tensors: Tensors, rows: int, *, lane: str, weight: int, deadline: float
    ) -> Request:
        loop = asyncio.get_running_loop()
        now = self._clock()
        if self.is_closed:
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
            line = self._lines[self._queue.track_of(lane, now)]
            is_first, line.is_busy = not line.is_busy, True
        for other, refusal in displaced:
            self._fail(other, refusal)
        self._alarm.set(deadline, now)
        if is_first:
            loop.call_soon(self._start, loop, line)
        return request

    def _start(self, loop: asyncio.AbstractEventLoop, line: Line) -> None:
        """Start a run with whoever waits; whoever calls this has made the line busy."""
        now = self._clock()
        if self._alarm.is_due(now):
            self._expire()
        with self._lock:
            pause = self._queue.pause(now)
            if pause:
                line.is_busy = False
            is_quick = line is self._front and self._queue.is_quick(now)
        if pause:
            self._start_in(loop, pause)
        elif is_quick:
            self._run_here(loop, now)
        else:
            self._submit(loop, line)

    def _start_in(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        """Come back when no further rows are worth waiting for."""
        if self._pause is not None:
            self._pause.cancel()
        self._pause = loop.call_later(seconds, self._start_again, loop)

    def _start_again(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the next run of each line, unless nobody waits or somebody else does so."""
        now = self._clock()
        with self._lock:
            due = [line for line in self._lines if self._is_due(line, now)]
            for line in due:
                line.is_busy = True
        for line in due:
            self._start(loop, line)

    def _is_due(self, line: Line, now: float) -> bool:
        return not line.is_busy and self._queue.is_due(line.track, now)

    def _is_other_due(self, line: Line, now: float, *, has_taken: bool) -> bool:
        """Say whether a line left for the other one what that does not know of."""
        if len(self._lines) == 1 or (has_taken and line is self._front):
            return False
        return any(self._is_due(other, now) for other in self._lines if other is not line)

    def _submit(self, loop: asyncio.AbstractEventLoop, line: Line) -> None:
        has_company = self._queue.has_company(self._clock())
        executor = line.yielding_executor if has_company else line.executor
        try:
            executor.submit(self._run, loop, line)
        except RuntimeError:
            with self._lock:
                line.is_busy = False
            loop.call_soon_threadsafe(self._refuse_all, "shut down")

    def _take(self, loop: asyncio.AbstractEventLoop, line: Line, now: float) -> list[Piece]:
        """Take the next batch, and have those told who cannot be in it any more."""
        with self._lock:
            batch, late = self._queue.take(now, line.track)
            line.running = batch
            line.is_busy = bool(batch)
            is_other_due = self._is_other_due(line, now, has_taken=bool(batch))
        if late:
            loop.call_soon_threadsafe(self._refuse_late, late)
        if is_other_due:
            loop.call_soon_threadsafe(self._start_again, loop)
        return batch

    def _run(self, loop: asyncio.AbstractEventLoop, line: Line) -> None:
        """Run a batch in the executor's thread, and queue up for the next one if it is full.

        One that is not full is the loop's to start, since more callers may be about to join it. The
        outcomes reach the loop in one call. Other models have their turns in between, since all
        queue up at the same executor.
        """
        batch = self._take(loop, line, self._clock())
        if not batch:
            return
        began = time.thread_time()
        run = self._run_batch(batch)
        work_seconds = time.thread_time() - began
        with self._lock:
            done = self._settle(batch, run, work_seconds=work_seconds, line=line)
            line.is_busy = is_full = self._queue.is_full(line.track, self._clock())
        loop.call_soon_threadsafe(self._finish_elsewhere, loop, done)
        if is_full:
            self._submit(loop, line)

    def _run_here(self, loop: asyncio.AbstractEventLoop, now: float) -> None:
        """Run a batch whose time is known to be shorter than a thread's turn.

        Threat: a model that turned slow would hold up every tenant, so three slow runs in a row
        send it to the thread for good.
        """
        batch = self._take(loop, self._front, now)
        if not batch:
            return
        run = self._run_batch(batch)
        self._slow_runs = self._slow_runs + 1 if run.seconds > self._slow_seconds else 0
        if self._slow_runs >= _SLOW_RUNS:
            self._queue.have_no_quick_run()
            logger.warning("%s: runs take too long for the event loop", self._name)
        with self._lock:
            done = self._settle(batch, run, work_seconds=None, line=self._front)
            self._front.is_busy = False
        self._finish(done)
        if self._queue.rows:
            loop.call_soon(self._start_again, loop)

    def _run_batch(self, batch: list[Piece]) -> BatchRun:
        return run_batch(
            self._runtime, [piece.tensors for piece in batch], [piece.rows for piece in batch]
        )

    def _settle(
        self, batch: list[Piece], run: BatchRun, *, work_seconds: float | None, line: Line
    ) -> _Done:
        """Learn from a run, and see who is answered now.

        Threat: whatever goes wrong here, a line that stays busy would never have another run.
        """
        line.running = []
        try:
            settled = self._queue.settle(batch, run, work_seconds=work_seconds, track=line.track)
        except Exception as error:
            logger.exception("%s: a run could not be settled", self._name)
            settled = self._queue.give_up(batch, error)
        return _Done(batch, run, settled)

    def _finish_elsewhere(self, loop: asyncio.AbstractEventLoop, done: _Done) -> None:
        """Start the next run, unless the thread has, and answer while that one computes."""
        self._start_again(loop)
        self._finish(done)

    def _finish(self, done: _Done) -> None:
        """Count a run, and answer its callers."""
        batch, run, settled = done
        rows = sum([piece.rows for piece in batch])
        self.runs += run.runs
        self.rows += rows
        self.on_run(run, rows)
        self.compute.attribute(batch, run)
        self.statistics.note_run(run, rows, settled)
        if not run.is_splittable:
            logger.warning("%s: outputs have no row for each row; batching is off", self._name)
        for request, outcome in settled:
            if not isinstance(outcome, dict):
                self.failures += 1
                self._fail(request, outcome)
            elif not request.answer.done():
                bill = ComputeBill(self.compute, request.compute_us)
                times = (request.queue_seconds, request.compute_seconds)
                request.answer.set_result(Prediction(outcome, *times, rows, bill))

    def _fail(self, request: Request, error: Exception) -> None:
        if not request.answer.done():
            request.answer.set_exception(error)
            self.compute.waive(request)

    def _refuse_late(self, requests: Iterable[Request]) -> None:
        for request in requests:
            self._fail(request, DeadlineExceeded())

    def _expire(self) -> None:
        """Tell everyone whose deadline has passed, and set the alarm for the next."""
        now = self._clock()
        with self._lock:
            running = [piece.request for line in self._lines for piece in line.running]
            pending = [*self._queue, *running]
            late = [request for request in pending if request.deadline <= now]
            for request in late:
                self._queue.remove(request)
        self._refuse_late(late)
        open_ = [request.deadline for request in pending if not request.answer.done()]
        self._alarm.set_anew(open_, now)

    def _refuse_all(self, reason: str) -> None:
        with self._lock:
            waiting = list(self._queue)
            for request in waiting:
                self._queue.remove(request)
        for request in waiting:
            self._fail(request, ModelNotReady(self._name, reason))


def _tell_nobody(_run: BatchRun, _rows: int) -> None:
    """Stand where nobody wants to know of a run."""
