"""What one worker notes of its requests, and how it is handed in."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from sqlalchemy.exc import OperationalError

from gateway.dataplane.prediction import Call
from gateway.models.trial_counts import Counts, Subject, VersionCounts
from gateway.models.trial_store import TrialStore
from gateway.models.trials import Trials
from inference.batcher import Prediction
from inference.compute_account import ComputeAccount, ComputeBill
from inference.errors import ModelFailed
from inference.registry import Registry
from inference.router import Router
from inference.routing import UNNAMED, Selection
from tests.unit.inference.fakes import rows_of
from tests.unit.inference.trials import FakeRegistry, route_with

DEADLINE = 10.0
OUTAGE = OperationalError("", {}, Exception("away"))


@dataclass
class FakeStore:
    """Records that can be away."""

    is_away: bool = False
    taken: list[dict[Subject, Counts]] = field(default_factory=list)

    async def add_counts(self, seen: dict[Subject, Counts]) -> None:
        """Take, or fail."""
        if self.is_away:
            raise OUTAGE
        self.taken.append(seen)


@dataclass
class FakeDecoded:
    """A request of two rows."""

    tensors: Any = field(default_factory=lambda: rows_of(1.0, 2.0))
    rows: int = 2
    timeout_seconds: float | None = None


@dataclass
class Worker:
    """The trials of one worker between fakes."""

    store: FakeStore = field(default_factory=FakeStore)
    registry: FakeRegistry = field(default_factory=FakeRegistry)
    now: float = 0.0

    def __post_init__(self) -> None:
        """Try version 2 of the model `m`."""
        router = Router(cast("Registry", self.registry))
        router.routes = {"m": route_with(weight=0.5, budget=0.0)}
        self.trials = Trials(router, cast("TrialStore", self.store), loop_time=lambda: self.now)

    def call(self, *, version: str = "2", selection: Selection = UNNAMED) -> Call:
        """Make a request that a version got."""
        model: Any = self.registry.versions[version]
        nobody: Any = None
        return Call(
            "id", "tg_x", nobody, nobody, None, model, nobody, DEADLINE, selection=selection
        )

    def answer(self, **choice: Any) -> None:  # noqa: ANN401 - as `call` takes it
        """Answer a request in three milliseconds."""
        prediction = Prediction(
            {"y": rows_of(1.0, 2.0)["x"]}, 0.001, 0.002, 2, ComputeBill(ComputeAccount(), 2000)
        )
        self.trials.after_answer(self.call(**choice), FakeDecoded(), prediction)

    async def handed_in(self) -> dict[str, VersionCounts]:
        """Hand in, and return what was, by version."""
        await self.trials.hand_in()
        return {
            subject.versions: counts
            for seen in self.store.taken
            for subject, counts in seen.items()
            if isinstance(counts, VersionCounts)
        }


async def test_answer_is_noted_with_its_time_in_queue_and_model() -> None:
    """What the limits and the journal took is not the version's."""
    worker = Worker()
    worker.answer()
    counts = (await worker.handed_in())["2"]
    assert (counts.requests, counts.rows) == (1, 2)
    assert counts.seconds.moments.mean == pytest.approx(0.003)


async def test_failure_of_the_version_is_noted() -> None:
    """It failed on rows that its contract takes."""
    worker = Worker()
    worker.trials.after_failure(worker.call(), ModelFailed("broken"))
    assert (await worker.handed_in())["2"].errors == 1


async def test_version_that_was_too_slow_has_failed() -> None:
    """At the deadline the request is cancelled, and that is the version's fault."""
    worker = Worker(now=DEADLINE)
    worker.trials.after_failure(worker.call(), asyncio.CancelledError())
    assert (await worker.handed_in())["2"].errors == 1


async def test_caller_who_left_says_nothing_of_the_version() -> None:
    """Before the deadline a request is cancelled because nobody waits for it."""
    worker = Worker()
    worker.trials.after_failure(worker.call(), asyncio.CancelledError())
    assert await worker.handed_in() == {}


async def test_named_version_is_not_noted() -> None:
    """Who chose for himself was not chosen at random."""
    worker = Worker()
    worker.answer(selection=Selection(version="2"))
    worker.answer(selection=Selection(label="challenger"))
    assert await worker.handed_in() == {}


async def test_outage_of_the_records_loses_nothing() -> None:
    """What could not be handed in is kept, and handed in with the rest."""
    worker = Worker()
    worker.answer()
    worker.store.is_away = True
    with pytest.raises(OperationalError):
        await worker.trials.hand_in()
    worker.answer()
    worker.store.is_away = False
    assert (await worker.handed_in())["2"].requests == 2


async def test_outage_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Not every two seconds."""
    worker = Worker()
    worker.store.is_away = True
    for _ in range(3):
        worker.answer()
        await worker.trials.close()
    assert caplog.text.count("cannot be written") == 1


async def test_memory_of_an_outage_is_bounded() -> None:
    """A hundred thousand requests are a few numbers."""
    worker = Worker()
    for number in range(100_000):
        worker.answer(version="1" if number % 2 else "2")
    counts = await worker.handed_in()
    assert counts.keys() == {"1", "2"}
    assert all(len(each.seconds.buckets) == 1 for each in counts.values())
