"""Ask the other version of a trial the same, in the shadow of an answer that has been given.

Nobody waits for it: the answer has left, the run has a thread of its own, and the thread works a
bounded share of the time. A request that comes while the thread is at work, before the budget
allows another run, or while callers wait for the version that serves, is not mirrored; so there is
no queue, and the memory is one request.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Final, NamedTuple, Protocol

from inference.agreement import RequestComparison, compare_answers
from inference.batch_run import run_alone
from inference.loading import ModelVersion
from inference.predictor import Predictor
from inference.router import Router
from inference.routing import Route
from inference.tensors import Tensors

_MICROSECONDS: Final = 1e6

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Served:
    """A request that has been answered."""

    model: ModelVersion
    tensors: Tensors
    outputs: Tensors
    rows: int


class Mirrored(NamedTuple):
    """What the other version did with a request."""

    version: str
    """The other one."""

    champion: str
    """The one of both that is no challenger."""

    rows: int
    seconds: float
    comparison: RequestComparison | None
    """How both answers compare; None where the other version had none."""


class Listener(Protocol):
    """Take note of what the other version did."""

    def __call__(self, route: Route, mirrored: Mirrored) -> None:
        """Called on the event loop."""


class Mirror:
    """Mirror requests of all models of one worker, one at a time; used from one event loop.

    A run may go on beside runs of the same version for its own callers: engines take that.
    """

    def __init__(
        self,
        router: Router,
        predictor: Predictor,
        *,
        executor: Executor,
        listener: Listener,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        """Run in `executor`, which has one thread and no other work; `clock` gives seconds."""
        self._router = router
        self._predictor = predictor
        self._executor = executor
        self._listener = listener
        self._clock = clock
        self._is_busy = False
        self._not_before: dict[str, float] = {}
        self.runs = 0
        """Requests that were mirrored since the start."""
        self.passed_over = 0
        """Requests of trials that were not mirrored since the start."""

    def offer(self, route: Route, served: Served) -> None:
        """Mirror a request if there is time for it now; it never waits and never fails."""
        if not route.budget:
            return
        other = self._free(route, served) and self._router.other(route, served.model)
        if not other:
            self.passed_over += 1
            return
        other.holders.add()
        self._is_busy = True
        asyncio.get_running_loop().call_soon(self._start, route, served, other)

    def _start(self, route: Route, served: Served, other: ModelVersion) -> None:
        """Begin a run, in the loop's turn after the one in which the answer leaves.

        The thread would otherwise take the interpreter, or the processor, before it.
        """
        loop = asyncio.get_running_loop()
        began = self._clock()
        run = partial(_run, other, served, route=route, clock=self._clock)
        try:
            future = loop.run_in_executor(self._executor, run)
        except RuntimeError:  # the server is ending
            self._is_busy = False
            other.holders.remove()
            return
        future.add_done_callback(partial(self._finish, route, other, began=began))

    def _free(self, route: Route, served: Served) -> bool:
        """Say whether the thread, the budget and the callers who wait leave time for a run."""
        if self._is_busy or self._clock() < self._not_before.get(route.name, 0.0):
            return False
        return not self._predictor.batcher_of(served.model).waiting_rows

    def _finish(
        self, route: Route, other: ModelVersion, future: "asyncio.Future[Mirrored]", *, began: float
    ) -> None:
        """Let the version go, rest for as long as the budget asks, and tell what it did."""
        self._is_busy = False
        account = self._predictor.batcher_of(other).compute
        other.holders.remove()
        self._rest(route, self._clock() - began)
        if future.cancelled():
            return
        error = future.exception()
        if error is not None:
            logger.warning("%s/%s: a mirrored run broke: %r", other.name, other.version, error)
            return
        self.runs += 1
        account.note_run(int(future.result().seconds * _MICROSECONDS))
        self._listener(route, future.result())

    def _rest(self, route: Route, busy_seconds: float) -> None:
        """Forbid another run until this one was no more than the budget's share of the time."""
        now = self._clock()
        known = self._router.routes
        kept = {name: moment for name, moment in self._not_before.items() if name in known}
        self._not_before = kept | {route.name: now + busy_seconds * (1 / route.budget - 1)}


def _run(
    other: ModelVersion, served: Served, *, route: Route, clock: Callable[[], float]
) -> Mirrored:
    """Run the other version and compare, in the thread."""
    began = clock()
    outcome = run_alone(other.runtime, served.tensors)
    seconds = clock() - began
    is_challenger = other.version == route.challenger
    champion = served.model.version if is_challenger else other.version
    if not isinstance(outcome, dict):
        return Mirrored(other.version, champion, served.rows, seconds, None)
    first, second = (served.outputs, outcome) if is_challenger else (outcome, served.outputs)
    comparison = compare_answers(first, second, tolerance=route.tolerance)
    return Mirrored(other.version, champion, served.rows, seconds, comparison)
