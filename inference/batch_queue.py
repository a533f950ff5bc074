"""Decide what the next run of one model holds: who may wait, whose turn it is, who is too late.

Whoever cannot be answered in time is refused before anything is run for it: on arrival where its
lane is known to take too long, and again when its turn comes.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from inference.batch_run import BatchRun, Outcome, has_rows
from inference.division import Division
from inference.errors import DeadlineExceeded, ModelFailed, QueueFull, TooManyRows
from inference.lanes import Lanes, any_lane
from inference.requests import Piece, Request
from inference.run_times import RunTimes
from inference.tracks import Track

_NEW_WEIGHT = 0.2
"""Weight of the latest run in the moving average of seconds for each row."""

_CERTAINTY = 0.8
"""Of an estimated time, what is certain enough to refuse somebody for it."""


_LEAST_WORK = 0.02
"""A thread that had less of the processor did not compute the run: an engine elsewhere did."""


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """What a model's author says about its queue, in rows and seconds."""

    max_batch_size: int = 64
    max_queue_rows: int = 4096
    max_lane_rows: int | None = None
    """Rows of one lane, but for a single request; None: as many as the queue holds."""

    max_delay_seconds: float = 0.0
    """How long a run that is not full waits for more rows."""

    quick_rows: int = 0
    """Rows that run quicker than a thread takes its turn."""


class Taken(NamedTuple):
    """What was taken out of the queue."""

    batch: list[Piece]
    late: list[Request]
    """Requests that cannot be answered in time any more."""


class Settled(NamedTuple):
    """A request whose last piece has run."""

    request: Request
    outcome: Outcome


class BatchQueue:
    """The queue of one model, and what was learned of its runs.

    Where it is divided, runs go on beside each other on two tracks, never with rows of one lane
    on both. Concurrency: none of its own; the batcher holds a lock around every call.
    """

    def __init__(
        self, limits: QueueLimits, times: RunTimes, *, can_share: bool, is_divided: bool = False
    ) -> None:
        self.limits = limits
        self._lanes = Lanes(round_rows=limits.max_batch_size)
        self._times = times
        self._division = Division(
            self._lanes, times, is_divided=is_divided, quick_rows=limits.quick_rows
        )
        self._is_shared = can_share and limits.max_batch_size > 1
        self._row_seconds = 0.0
        self._run_until = [-math.inf, -math.inf]
        self._waits_since = math.inf
        self._free_rows = min(limits.max_queue_rows, limits.max_lane_rows or limits.max_queue_rows)
        """Rows below which no bound binds anybody."""
        self._horizon = 0.0
        """A time by which whatever the queue may hold has run; 0 where that is not known."""

    def __iter__(self) -> Iterator[Request]:
        """Walk everything that waits."""
        return iter(self._lanes)

    @property
    def rows(self) -> int:
        """How many rows wait."""
        return self._lanes.rows

    def have_no_quick_run(self) -> None:
        """Expect every run to take longer than a thread takes its turn."""
        self._division.quick_rows = 0

    def is_quick(self, now: float) -> bool:
        """Say whether the next run on the front track is quicker than a thread takes its turn."""
        division = self._division
        return self._is_always_quick or division.rows_for(Track.FRONT, now) <= division.quick_rows

    def is_full(self, track: Track, now: float) -> bool:
        """Say whether enough rows wait for a run of the best size."""
        return self._division.rows_for(track, now) >= self._times.best_rows

    def is_due(self, track: Track, now: float) -> bool:
        """Say whether a track has anything to run."""
        return self._division.rows_for(track, now) > 0

    def track_of(self, lane: str, now: float) -> Track:
        """Say where the rows of a lane that waits will run."""
        return self._division.track_of(lane, now)

    def has_company(self, now: float) -> bool:
        """Say whether more than one lane was seen lately."""
        return self._division.has_company(now)

    def check(self, rows: int, lane: str, *, weight: int, deadline: float, now: float) -> None:
        """Refuse who would be refused now.

        Raises:
            TooManyRows: more rows than the queue can ever hold.
            QueueFull: no room now, in the queue or in the lane.
            DeadlineExceeded: it could not be answered in time.
        """
        limits, lanes = self.limits, self._lanes
        if lanes.rows + rows <= self._free_rows and now + self._horizon <= deadline:
            return
        if rows > limits.max_queue_rows:
            raise TooManyRows(limits.max_queue_rows)
        if limits.max_lane_rows is not None:
            own = lanes.rows_of(lane)
            if own and own + rows > limits.max_lane_rows:
                raise self._full(lanes.rows_before(lane, weight=weight))
        if lanes.rows + rows > limits.max_queue_rows and not lanes.may_make_room(
            rows, lane, weight=weight, limit=limits.max_queue_rows
        ):
            raise self._full(lanes.rows)
        if now + self._horizon > deadline:
            before = lanes.rows_before(lane, weight=weight)
            track = self._division.track_of(lane, now) if lanes.rows_of(lane) else Track.FRONT
            seconds = self._times.backlog_seconds(before + rows, track)
            if now + _CERTAINTY * (max(self._run_until[track] - now, 0.0) + seconds) > deadline:
                raise DeadlineExceeded

    def add(self, request: Request, *, now: float) -> list[tuple[Request, QueueFull]]:
        """Let a request wait; return whom it displaces.

        Raises:
            TooManyRows, QueueFull, DeadlineExceeded: as `check`.
        """
        weight = request.weight
        self.check(request.rows, request.lane, weight=weight, deadline=request.deadline, now=now)
        displaced: list[Request] | None = []
        limit = self.limits.max_queue_rows
        if self._lanes.rows + request.rows > limit:
            displaced = self._lanes.make_room(
                request.rows, request.lane, weight=weight, limit=limit
            )
        if not self._lanes.rows:
            self._waits_since = now
        self._division.note_arrival(request.lane, request.rows, weight=weight, now=now)
        self._lanes.add(request)
        return [(one, self._full(self._lanes.rows)) for one in displaced or ()]

    def remove(self, request: Request) -> None:
        """Forget a request; one that no longer waits is ignored."""
        self._lanes.remove(request)

    def pause(self, now: float) -> float:
        """Say how long the next run should wait for more rows, in seconds.

        Never so long that a caller would be too late for it, and not for rows that waited for a
        run already.
        """
        delay = self.limits.max_delay_seconds
        if not delay or not 0 < self._lanes.rows < self._times.best_rows:
            return 0.0
        deadline = min(request.deadline for request in self._lanes)
        latest = deadline - self._times.backlog_seconds(self._lanes.rows) / _CERTAINTY
        return max(min(self._waits_since + delay, latest) - now, 0.0)

    def take(self, now: float, track: Track = Track.FRONT) -> Taken:
        """Take the rows of the next run on a track; those whose caller left are dropped."""
        late: list[Request] = []
        while taken := self._next(track, now):
            batch = self._wanted(taken)
            if batch and self._horizon:
                batch = self._in_time(batch, now, late, track=track)
            if batch:
                if self._horizon:
                    key = batch[0].request.key
                    seconds = self._times.seconds(_rows_of(batch), key, track)
                    self._run_until[track] = now + seconds
                self._waits_since = -math.inf
                self._division.note_begun(batch, track)
                return Taken(batch, late)
        return Taken([], late)

    def settle(
        self,
        batch: Sequence[Piece],
        run: BatchRun,
        *,
        work_seconds: float | None,
        track: Track = Track.FRONT,
    ) -> list[Settled]:
        """Learn from a run, and return whoever has all of an answer now.

        `work_seconds` is what the run had of the processor; None where nothing is to be learned.
        """
        rows = _rows_of(batch)
        self._run_until[track] = -math.inf
        self._division.note_over(track)
        self._row_seconds += _NEW_WEIGHT * (run.seconds / max(rows, 1) - self._row_seconds)
        if work_seconds is not None and run.runs == 1:
            is_work = work_seconds > _LEAST_WORK * run.seconds
            work = work_seconds if is_work else None
            key = batch[0].request.key
            self._times.observe(rows, run.seconds, key, work_seconds=work, track=track)
            self._horizon = 2 * self._times.backlog_seconds(self.limits.max_queue_rows)
        self._is_shared &= run.is_splittable
        settled = []
        for piece, outcome in zip(batch, run.outcomes, strict=True):
            request = piece.request
            if not request.compute_seconds:
                request.queue_seconds = run.started - request.arrived
            request.compute_seconds += run.seconds
            if piece.rows == request.rows:
                settled.append(Settled(request, outcome))
            else:
                settled += self._put_together(piece, outcome)
        return settled

    def give_up(self, batch: Sequence[Piece], error: Exception) -> list[Settled]:
        """End a run that could not be settled: it failed for everybody in it."""
        failed = ModelFailed(f"{type(error).__name__}: {error}")
        requests = dict.fromkeys([piece.request for piece in batch])
        for request in requests:
            self._lanes.remove(request)
        return [Settled(request, failed) for request in requests]

    @property
    def _is_always_quick(self) -> bool:
        return self._is_shared and self.limits.max_batch_size <= self._division.quick_rows

    def _next(self, track: Track, now: float) -> list[Piece]:
        choice = self._division.choice(track, now)
        if not self._is_shared:
            return self._lanes.take(1, whole_rows=self.limits.max_queue_rows, may_take=choice)
        times, quick = self._times, self._division.quick_rows
        waiting = self._division.rows_for(track, now)
        if not waiting:
            return []
        if waiting <= quick and choice is any_lane:
            most = self.limits.max_batch_size
            everything = self._lanes.take_all() if waiting <= most else []
            return everything or self._lanes.take(most, whole_rows=quick)
        capacity = times.rows_for(waiting)
        whole = max(times.whole_rows, capacity, quick)
        return self._lanes.take(capacity, whole_rows=whole, alone_rows=quick, may_take=choice)

    def _wanted(self, batch: list[Piece]) -> list[Piece]:
        """Leave out whose caller left, with whatever waits of it still."""
        wanted = [piece for piece in batch if not piece.request.answer.done()]
        if len(wanted) < len(batch):
            for piece in batch:
                if piece.request.answer.done():
                    self._lanes.remove(piece.request)
        return wanted

    def _in_time(
        self, batch: list[Piece], now: float, late: list[Request], *, track: Track
    ) -> list[Piece]:
        """Leave out who is too late even alone, and whoever would make another one too late."""
        key = batch[0].request.key
        earliest = min([piece.request.deadline for piece in batch])
        if now + self._times.seconds(_rows_of(batch), key, track) <= earliest:
            return batch
        kept = []
        for piece in batch:
            seconds = self._times.seconds(piece.rows, key, track)
            if now + _CERTAINTY * seconds > piece.request.deadline or now >= piece.request.deadline:
                self._lanes.remove(piece.request)
                late.append(piece.request)
            else:
                kept.append(piece)
        return self._shortened(kept, now, track) if kept else []

    def _shortened(self, batch: list[Piece], now: float, track: Track) -> list[Piece]:
        """Put the last rows back until the run is over before the earliest deadline."""
        urgent = min(batch, key=lambda piece: piece.request.deadline)
        time_left = urgent.request.deadline - now
        room = self._times.rows_within(time_left, urgent.request.key, track) - urgent.rows
        kept: list[Piece] = []
        left_out: list[Piece] = []
        for piece in batch:
            room -= 0 if piece is urgent else piece.rows
            (kept if piece is urgent or room >= 0 else left_out).append(piece)
        for piece in reversed(left_out):
            self._lanes.put_back(piece)
        return kept

    def _put_together(self, piece: Piece, outcome: Outcome) -> list[Settled]:
        """Keep a piece of an answer until it is whole; one that fails, fails the request.

        Once sharing has ended, no piece is worth anything.
        """
        request = piece.request
        if not isinstance(outcome, dict):
            self._lanes.remove(request)
            return [Settled(request, outcome)]
        if not (self._is_shared and has_rows(outcome, piece.rows) and request.continues(outcome)):
            self._make_whole(request)
            return []
        request.answered += (outcome,)
        request.answered_rows += piece.rows
        is_whole = request.answered_rows == request.rows
        return [Settled(request, request.joined())] if is_whole else []

    def _make_whole(self, request: Request) -> None:
        """Run a request again in one piece: what rows are answered depends on those beside them."""
        self._is_shared = False
        self._lanes.remove(request)
        request.taken = 0
        request.answered = ()
        request.answered_rows = 0
        request.is_begun_again = True
        self._lanes.add(request)

    def _full(self, rows: int) -> QueueFull:
        """Say when there is room again, by how long the rows that wait will take."""
        seconds = self._times.backlog_seconds(rows) or rows * self._row_seconds
        return QueueFull(max(1, math.ceil(seconds)))


def _rows_of(batch: Sequence[Piece]) -> int:
    return sum([piece.rows for piece in batch])
