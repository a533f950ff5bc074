"""Keep the account of an engine's time: how long it worked, and for whom.

Every microsecond is on the bill of one request, or counted as billed to nobody: failed requests,
callers who left, runs whose answers could not be used, warm-ups, and runs in the shadow of a trial.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from inference.batch_run import BatchRun
from inference.requests import Piece, Request


@dataclass(slots=True)
class ComputeAccount:
    """How long the engine of one model version worked, and for whom, in microseconds.

    Law: busy = billed + unbilled + what is attributed to requests that are not over yet.
    Concurrency: one event loop.
    """

    busy_us: int = 0
    """All runs."""

    billed_us: int = 0
    """The parts of requests that are in the usage records."""

    unbilled_us: int = 0
    """What nobody is billed for."""

    @property
    def open_us(self) -> int:
        """What requests have that are not over yet."""
        return self.busy_us - self.billed_us - self.unbilled_us

    def note_run(self, total_us: int, parts_us: Sequence[int] = ()) -> None:
        """Count a run; what is nobody's part is unbilled."""
        self.busy_us += total_us
        self.unbilled_us += total_us - sum(parts_us)

    def attribute(self, batch: Sequence[Piece], run: BatchRun) -> None:
        """Count a run, and note what each request has of it; nobody pays for what comes in vain."""
        self.note_run(run.compute_us, run.parts_us)
        for piece, part_us in zip(batch, run.parts_us, strict=True):
            request = piece.request
            request.compute_us += part_us
            if request.is_begun_again or request.answer.done():
                request.is_begun_again = False
                self.waive(request)

    def waive(self, request: Request) -> None:
        """Have nobody billed for what a request has of runs so far."""
        self.unbilled_us += request.compute_us
        request.compute_us = 0


@dataclass(slots=True)
class ComputeBill:
    """What one request has of the runs that it was in, until it is known who pays."""

    account: ComputeAccount
    part_us: int
    is_settled: bool = False

    def settle(self, *, is_billed: bool) -> None:
        """Count it as billed or not; the first word counts."""
        if self.is_settled:
            return
        self.is_settled = True
        if is_billed:
            self.account.billed_us += self.part_us
        else:
            self.account.unbilled_us += self.part_us
