"""Count what a model version did since it was loaded.

Source: Triton, "Statistics Extension".
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from inference.batch_run import BatchRun, Outcome
from inference.requests import Request

_EXACT_SIZES: Final = 256
_NANOSECONDS: Final = 1e9


def wall_clock_ms() -> int:
    """Read the clock in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class Took:
    """How often something happened and how long it took in all."""

    count: int = 0
    seconds: float = 0.0

    def add(self, count: int, seconds: float) -> None:
        """Add what happened; `seconds` is the sum."""
        self.count += count
        self.seconds += seconds

    @property
    def nanoseconds(self) -> int:
        """The time in all, in nanoseconds."""
        return int(self.seconds * _NANOSECONDS)


@dataclass(slots=True)
class ModelStatistics:
    """What became of the requests that were run; those that were refused before are not here.

    Each request of a shared run counts the whole time of the run, as in Triton. Memory: runs of
    more than 256 rows are counted by the next power of two.
    """

    now_ms: Callable[[], int] = wall_clock_ms
    last_inference_ms: int = 0
    """When a request was last answered; 0 before the first."""

    rows: int = 0
    """Rows that were answered."""

    executions: int = 0
    """Runs that gave answers."""

    success: Took = field(default_factory=Took)
    """Requests that were answered, waiting included."""

    fail: Took = field(default_factory=Took)
    """Requests that the model failed on or refused."""

    queue: Took = field(default_factory=Took)
    """The waiting of the requests that were answered."""

    compute: Took = field(default_factory=Took)
    """The runs of the requests that were answered."""

    batches: dict[int, Took] = field(default_factory=dict)
    """Runs by their rows."""

    def note_run(
        self, run: BatchRun, run_rows: int, settled: Sequence[tuple[Request, Outcome]]
    ) -> None:
        """Take in one run of so many rows, and the requests that came to their end with it."""
        answered = [request for request, outcome in settled if isinstance(outcome, dict)]
        if len(answered) < len(settled):
            self.fail.add(
                len(settled) - len(answered),
                sum(
                    request.queue_seconds + request.compute_seconds
                    for request, outcome in settled
                    if not isinstance(outcome, dict)
                ),
            )
        good = sum([isinstance(outcome, dict) for outcome in run.outcomes])
        self.executions += min(good, 1) if run.runs == 1 else good
        if good and run.runs == 1:
            self.batches.setdefault(_size_class(run_rows), Took()).add(1, run.seconds)
        if answered:
            self._note_answers(answered)

    def _note_answers(self, answered: Sequence[Request]) -> None:
        count = len(answered)
        waited = sum([request.queue_seconds for request in answered])
        computed = sum([request.compute_seconds for request in answered])
        self.last_inference_ms = self.now_ms()
        self.rows += sum([request.rows for request in answered])
        self.queue.add(count, waited)
        self.compute.add(count, computed)
        self.success.add(count, waited + computed)


def _size_class(rows: int) -> int:
    return rows if rows <= _EXACT_SIZES else 1 << (rows - 1).bit_length()
