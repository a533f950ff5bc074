"""Learn how long a model's runs take by their rows, and how many rows a run should have.

Batching pays where a run costs much whatever its rows (weights that are read from memory), and
hurts where rows cost more together than alone (a conv net whose layers leave the cache). So the
time of a run is measured, at the warm-up and while serving, and the size with the most rows in a
second is taken. `docs/decisions/0013-learned-batch-sizes.md` says why in this way.
"""

import math
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from inference.requests import Key
from inference.tracks import Track

_HAND_OVER_SECONDS: Final = 1e-4
"""What a run costs besides the model: a thread is woken, and the answers reach the loop."""

_AS_GOOD: Final = 0.97
"""A size with so much of the best rate is as good, and the smaller one lets callers go sooner."""

_WORTH_CUTTING: Final = 0.9
"""Rows are run apart where together they had less than so much of the best rate."""

_LEVEL_GAIN: Final = 0.2
_LEAST_GAIN, _MOST_GAIN = 0.02, 0.5
_STALE_RUNS: Final = 100
"""Runs after which a surprise is put down to the size as much as can be, and not to the hour."""

_MOST_SURPRISE: Final = math.log(2)
"""One run says no more than that: a thread that was not woken says nothing of the model."""

_TRIAL_SHARE: Final = 0.01
"""Of the time of runs, what trying other sizes may cost."""

_LEAST_TRIAL: Final = 0.25
"""What a trial is counted for at least, in runs of the usual size."""

_MOST_CREDIT: Final = 16.0
_MOST_DEARER: Final = 0.25
"""Rows may take so much longer in a trial than at the usual size, by what is known."""

_LONGEST_TRIAL_SECONDS: Final = 0.25
"""A run over that is tried only from a usual one of at least half of it."""

_PROMISING: Final = 0.8
"""A size that never ran is tried where the next smaller one has so much of the best rate."""

_FORGETTING_RUNS: Final = 10_000
"""Runs after which half of what speaks against a size is forgotten, so that it is tried again."""

_CHOICE_RUNS: Final = 8
_MOST_KEYS: Final = 64
_WARM_UP_RUNS: Final = 5


class RunTimes:
    """The time of one model's runs, by rows.

    A curve over sizes (1, 2, 4 ... the most rows), and a level for each shape of item: whatever
    makes all sizes slower, like a busy machine, moves the level and no choice. A size that was
    never run is taken to cost as much for each row as the next one that was. Concurrency: none of
    its own.
    """

    def __init__(self, most_rows: int, measured: Mapping[int, float] | None = None) -> None:
        """Begin with what the warm-up measured: rows to seconds."""
        known = measured or {}
        self._sizes = sizes_up_to(most_rows)
        self._curve = [math.log(known.get(size, 1.0)) for size in self._sizes]
        self._seen = [_WARM_UP_RUNS if size in known else 0 for size in self._sizes]
        self._runs_since = [0] * len(self._sizes)
        self._levels: OrderedDict[Key, float] = OrderedDict()
        self._delays: dict[Key, list[float]] = {}
        """How much longer than their work runs take on each track, by the logarithm."""
        self._runs = 0
        self._credit = 0.0
        self._best = 0
        self._below = [0]
        self._rates = [1.0]
        self._is_whole = False
        """Every size has run."""
        self.best_rows = 1
        """Rows of the run that has the most rows in a second."""
        self.whole_rows = 1
        """Most rows of a request that is as good as whole as it is in pieces."""
        self._choose()

    def seconds(self, rows: int, key: Key, track: Track = Track.FRONT) -> float:
        """Estimate the time of a run; 0 where no run with such items is known."""
        level = self._levels.get(key)
        if level is None:
            return 0.0
        return math.exp(level + self._delays[key][track] + self._log_seconds(rows))

    def backlog_seconds(self, rows: int, track: Track = Track.FRONT) -> float:
        """Estimate how long rows take in runs of the best size; 0 where no run is known."""
        if not self._levels or not rows:
            return 0.0
        key = next(reversed(self._levels))
        size = min(rows, self.best_rows)
        return self.seconds(size, key, track) * rows / size

    def rows_within(self, seconds: float, key: Key, track: Track = Track.FRONT) -> int:
        """Find the largest size whose run is over in time; 1 where none is."""
        fitting = [size for size in self._sizes if self.seconds(size, key, track) <= seconds]
        return fitting[-1] if fitting else 1

    def rows_for(self, waiting: int) -> int:
        """Say how many of the rows that wait the next run should take at most.

        Now and then it is another size than the best one, to see whether it still is.
        """
        if waiting >= self.best_rows:
            if self._credit < _LEAST_TRIAL and self._is_whole:
                return self.best_rows
            return self._sizes[self._next_size(waiting)]
        return self._sizes[self._below[self._index(waiting)]]

    def observe(
        self,
        rows: int,
        seconds: float,
        key: Key,
        *,
        work_seconds: float | None = None,
        track: Track = Track.FRONT,
    ) -> None:
        """Learn from a run; `work_seconds` is what the processor gave to it, where that is known.

        Sizes are compared by work: on a machine with other things to do, long runs are interrupted
        more often than short ones, and would look worse than they are.
        """
        self._runs += 1
        self._credit = min(self._credit + _TRIAL_SHARE, _MOST_CREDIT)
        self._runs_since = [runs + 1 for runs in self._runs_since]
        measured = math.log(max(work_seconds or seconds, 1e-7))
        delay = math.log(max(seconds, 1e-7)) - measured
        delays = self._delays.setdefault(key, [delay] * len(Track))
        if key not in self._levels:
            self._meet(key, measured, rows)
        self._levels.move_to_end(key)
        delays[track] += _LEVEL_GAIN * (delay - delays[track])
        gain = self._learn(rows, measured - self._levels[key], key)
        if gain > _LEAST_GAIN or not self._runs % _CHOICE_RUNS:
            self._choose()

    def _meet(self, key: Key, measured: float, rows: int) -> None:
        """Begin with a shape of items that is new; the very first run begins the curve as well."""
        self._levels[key] = measured - self._log_seconds(rows) if any(self._seen) else 0.0
        if len(self._levels) > _MOST_KEYS:
            oldest, _ = self._levels.popitem(last=False)
            del self._delays[oldest]

    def _learn(self, rows: int, measured: float, key: Key) -> float:
        """Put a surprise down to the size or to the level; return the size's part of it.

        The more seldom and the longer ago a size was run, the more of it is the size's.
        """
        near = self._nearest(rows)
        surprise = measured - self._log_seconds(rows)
        gain = 1 / (1 + self._seen[near])
        if self._seen[near]:
            surprise = max(-_MOST_SURPRISE, min(surprise, _MOST_SURPRISE))
            stale = min(self._runs_since[near] / (2 * _STALE_RUNS), _MOST_GAIN)
            gain = max(gain, stale, _LEAST_GAIN)
        self._levels[key] += _LEVEL_GAIN * (1 - gain) * surprise
        self._curve[near] += gain * surprise
        self._seen[near] += 1
        self._runs_since[near] = 0
        return gain

    def _choose(self) -> None:
        """Compare the sizes by rows in a second, smaller ones first."""
        self._is_whole = all(self._seen)
        if not self._is_whole:
            self._guess_the_rest()
        self._rates = rates = [
            size / (math.exp(log) + _HAND_OVER_SECONDS)
            for size, log in zip(self._sizes, self._curve, strict=True)
        ]
        self._best = _first_as_good(rates)
        self._below = [self._best_below(rates[: index + 1]) for index in range(len(rates))]
        self.best_rows = self._sizes[self._best]
        worthy = [
            size
            for size, rate in zip(self._sizes, rates, strict=True)
            if rate >= _WORTH_CUTTING * max(rates)
        ]
        self.whole_rows = max(worthy)

    def _best_below(self, rates: list[float]) -> int:
        """Choose among the sizes that can be filled: all that waits, or clearly better pieces."""
        if rates[-1] >= _WORTH_CUTTING * max(rates):
            return max(self._best, len(rates) - 1)
        return _first_as_good(rates)

    def _next_size(self, waiting: int) -> int:
        """Return the best size, or another one whose trial is due and paid for."""
        others = [
            index
            for index, size in enumerate(self._sizes)
            if index != self._best and size <= waiting and self._cost_of(index) <= self._credit
        ]
        if not others:
            return self._best
        trial = max(others, key=lambda index: (not self._seen[index], self._runs_since[index]))
        self._credit -= self._cost_of(trial)
        return trial

    def _cost_of(self, trial: int) -> float:
        """Estimate how much longer the rows take than at the best size, in runs of that size.

        Infinite for a size that callers would notice: a longer run whose rows are dearer. A shorter
        one lets its own callers go sooner, and keeps the others for less than a run.
        """
        seconds, usual = math.exp(self._curve[trial]), math.exp(self._curve[self._best])
        if seconds > max(_LONGEST_TRIAL_SECONDS, 2 * usual):
            return math.inf
        if not self._seen[trial]:
            is_promising = trial == 0 or self._rates[trial - 1] >= _PROMISING * max(self._rates)
            return 0.0 if is_promising else math.inf
        times_rows = self._sizes[trial] / self.best_rows
        dearer = self._curve[trial] - self._curve[self._best] - math.log(times_rows)
        dearer = math.expm1(dearer * 0.5 ** (self._runs_since[trial] / _FORGETTING_RUNS))
        if times_rows > 1 and dearer > _MOST_DEARER:
            return math.inf
        return max(times_rows * dearer, _LEAST_TRIAL)

    def _guess_the_rest(self) -> None:
        """Let sizes that were never run cost as much for each row as the next smaller one."""
        known = [index for index, seen in enumerate(self._seen) if seen]
        if not known:
            self._curve = [math.log(size) for size in self._sizes]
            return
        for index, size in enumerate(self._sizes):
            if not self._seen[index]:
                near = max((other for other in known if other < index), default=known[0])
                self._curve[index] = self._curve[near] + math.log(size / self._sizes[near])

    def _index(self, rows: int) -> int:
        """Find the largest size that so many rows fill."""
        return max(bisect_right(self._sizes, rows) - 1, 0)

    def _nearest(self, rows: int) -> int:
        index = self._index(rows)
        if index + 1 < len(self._sizes) and rows**2 > self._sizes[index] * self._sizes[index + 1]:
            return index + 1
        return index

    def _log_seconds(self, rows: int) -> float:
        """Read the curve, straight between sizes and for each row as the largest beyond it."""
        index = self._index(rows)
        size = self._sizes[index]
        if rows == size:
            return self._curve[index]
        slope = 1.0
        if index + 1 < len(self._sizes):
            rise = self._curve[index + 1] - self._curve[index]
            slope = rise / math.log(self._sizes[index + 1] / size)
        return self._curve[index] + slope * math.log(rows / size)


def sizes_up_to(most_rows: int) -> list[int]:
    """List the sizes that are compared: powers of two, and the most rows themselves."""
    return [2**power for power in range((most_rows - 1).bit_length())] + [most_rows]


def _first_as_good(rates: list[float]) -> int:
    best = max(rates)
    return next(index for index, rate in enumerate(rates) if rate >= _AS_GOOD * best)
