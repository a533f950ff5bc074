"""What is billed and what is given back, for every way a prediction can end."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytest

from auth.authenticator import Authenticator
from auth.errors import SigningKeyMissing
from auth.keyset import Keyset
from auth.principal import Principal
from gateway.dataplane.prediction import Answer, Call, PredictionPath
from gateway.dataplane.v1 import V1Codec
from gateway.errors import OutputNotFinite
from gateway.limits.errors import StaleCatalogue
from gateway.limits.limiter import Grant, Outcome
from gateway.limits.policy import Policy, Standing
from gateway.usage.answers import KeptAnswer
from gateway.usage.errors import JournalUnavailable
from gateway.usage.journal import Journal, Told
from gateway.usage.record import UsageRecord
from inference.batcher import Prediction
from inference.compute_account import ComputeAccount, ComputeBill
from inference.errors import (
    ContractViolated,
    DeadlineExceeded,
    EngineUnavailable,
    InputInvalid,
    ModelFailed,
    ModelNotFound,
    QueueFull,
)
from inference.holders import Holders
from inference.predictor import Predictor
from inference.registry import ModelVersion, Registry
from inference.router import Router
from inference.routing import UNNAMED, Selection
from inference.tensors import Tensors

DEADLINE = 100.0


class FakeContract:
    """One number per row."""

    is_named = False
    feature_names = ("x",)
    quotes_per_row = None
    quotes_per_object = None

    def rows_to_tensors(self, instances: list[float]) -> Tensors:
        """Pack the rows."""
        if not instances:
            raise InputInvalid("there is no row to predict")
        return {"x": np.array(instances, np.float32)}

    def row_count(self, tensors: Tensors) -> int:
        """Count the rows."""
        return len(tensors["x"])


@dataclass
class FakeModel:
    """A model of which only the names and the price are looked at."""

    name: str = "double"
    version: str = "3"
    unit_weight: int = 5
    contract: FakeContract = field(default_factory=FakeContract)
    holders: Holders = field(default_factory=Holders)


@dataclass
class FakeLimiter:
    """Admit everybody and remember how it ended."""

    admitted: list[tuple[int, bool]] = field(default_factory=list)
    released: list[Outcome] = field(default_factory=list)

    async def admit(
        self,
        policy: Policy,
        *,
        units: int,
        billed: bool,
        revision: int | None = None,
        after: StaleCatalogue | None = None,
    ) -> Grant:
        """Admit."""
        assert (revision, after) == (7, None)
        self.admitted.append((units, billed))
        return Grant(policy, Standing(0, 0, 0, 0))

    def release(self, grant: Grant, outcome: Outcome) -> None:
        """Remember."""
        assert grant
        self.released.append(outcome)

    def load_quota(self, tenant_id: str, period: int, units: int) -> None:
        """Take no notice."""


@dataclass
class FakePredictor:
    """Double the input, or fail as told."""

    failure: Exception | None = None
    runs: int = 0
    scale: float = 2.0
    is_full: bool = False
    compute: ComputeAccount = field(default_factory=ComputeAccount)

    def check_room(self, _model: object, **_: object) -> None:
        """Refuse as told."""
        if self.is_full:
            raise QueueFull(1)

    async def predict(self, _model: object, tensors: Tensors, **_: object) -> Prediction:
        """Run."""
        self.runs += 1
        if self.failure is not None:
            raise self.failure
        self.compute.note_run(1999, [1999])
        bill = ComputeBill(self.compute, 1999)
        return Prediction({"y": tensors["x"] * self.scale}, 0.001, 0.002, len(tensors["x"]), bill)


@dataclass
class FakeJournal:
    """Keep records in memory, or refuse as told."""

    records: list[UsageRecord] = field(default_factory=list)
    is_full: bool = False
    breaks: bool = False

    def ensure_writable(self) -> None:
        """Refuse when full."""
        if self.is_full:
            raise JournalUnavailable("full")

    def stamp(self) -> int:
        """Give a moment."""
        return 1_700_000_000_000_000

    async def record(
        self, record: UsageRecord, _answer: KeptAnswer | None = None, *, told: Told
    ) -> None:
        """Keep the record."""
        told(is_durable=not self.breaks)
        if self.breaks:
            raise JournalUnavailable("no space left")
        self.records.append(record)


class FakeRegistry:
    """A repository with one model."""

    def resolve(self, name: str, _selection: Selection) -> FakeModel:
        """Find it."""
        return FakeModel(name=name)


@dataclass
class Bench:
    """A prediction path between fakes."""

    limiter: FakeLimiter = field(default_factory=FakeLimiter)
    predictor: FakePredictor = field(default_factory=FakePredictor)
    journal: FakeJournal = field(default_factory=FakeJournal)
    time: float = 0.0

    def path(self) -> PredictionPath:
        """Build the path."""
        return PredictionPath(
            keyset=cast("Keyset", None),
            authenticator=cast("Authenticator", None),
            router=Router(cast("Registry", FakeRegistry())),
            predictor=cast("Predictor", self.predictor),
            limiter=self.limiter,
            journal=cast("Journal", self.journal),
            loop_time=lambda: self.time,
        )

    async def predict(
        self,
        body: bytes = b'{"instances": [1, 2, 3]}',
        *,
        is_test: bool = False,
        before_record: Callable[[], None] = lambda: None,
        path: PredictionPath | None = None,
    ) -> Answer:
        """Send one request through the path."""
        model = cast("ModelVersion", FakeModel())
        codec: Any = V1Codec()
        caller = principal(is_test=is_test)
        call = Call(*("id", "tg_x", lambda: None, caller, 7, model, codec, DEADLINE), before_record)
        return await (path or self.path()).predict(call, body, bytes_in=len(body))


def principal(*, is_test: bool = False, models: frozenset[str] | None = None) -> Principal:
    """Make a customer who may predict."""
    return Principal(
        tenant_id="ten_a",
        credential_id="key_a",
        scopes=frozenset({"predict"}),
        models=models,
        is_platform=False,
        is_test=is_test,
        requests_per_second=None,
        burst=None,
        units_per_month=None,
        max_in_flight=None,
    )


async def test_answer_is_billed_once_with_its_units() -> None:
    """Rows times the model's weight, under the caller's names."""
    bench = Bench()
    answer = await bench.predict()
    record = bench.journal.records[0]
    assert answer.encoded.body == b'{"predictions":[2.0,4.0,6.0]}'
    assert (record.rows, record.units, record.tenant_id, record.key_id) == (3, 15, "ten_a", "key_a")
    assert (record.model, record.version, record.protocol) == ("double", "3", "v1")
    assert (record.queue_us, record.compute_us) == (1000, 1999)
    assert bench.limiter.released == [Outcome.COMPLETED]


async def test_compute_is_billed_once_the_record_is_on_disk() -> None:
    """What the record says is what the engine's account says."""
    bench = Bench()
    await bench.predict()
    account = bench.predictor.compute
    assert (account.billed_us, account.unbilled_us) == (bench.journal.records[0].compute_us, 0)


@pytest.mark.parametrize(
    "parts",
    [{"predictor": FakePredictor(scale=np.inf)}, {"journal": FakeJournal(breaks=True)}],
    ids=["output that cannot be encoded", "journal that cannot be written"],
)
async def test_compute_without_a_record_is_unbilled(parts: dict[str, Any]) -> None:
    """It was work all the same, and the engine's account says so."""
    bench = Bench(**parts)
    with pytest.raises((OutputNotFinite, JournalUnavailable)):
        await bench.predict()
    account = bench.predictor.compute
    assert (account.billed_us, account.unbilled_us) == (0, account.busy_us)


async def test_test_key_is_recorded_without_units() -> None:
    """Its calls are seen and cost nothing."""
    bench = Bench()
    answer = await bench.predict(is_test=True)
    assert (answer.units, bench.journal.records[0].units) == (0, 0)
    assert bench.limiter.admitted == [(0, False)]


FAILURES = [ModelFailed("boom"), DeadlineExceeded(), InputInvalid("x"), EngineUnavailable(1, "")]


@pytest.mark.parametrize("failure", FAILURES)
async def test_failed_run_is_not_billed_and_gives_units_back(failure: Exception) -> None:
    """The caller had the attempt and pays nothing; it is told of as the version's failure."""
    bench = Bench(predictor=FakePredictor(failure=failure))
    path, told = bench.path(), []
    path.after_failure = lambda _call, error: told.append(error)
    with pytest.raises(type(failure)):
        await bench.predict(path=path)
    assert (bench.journal.records, told) == ([], [failure])
    assert bench.limiter.released == [Outcome.FAILED]


async def test_full_queue_consumes_nothing() -> None:
    """The server itself refused, so rate and units come back."""
    bench = Bench(predictor=FakePredictor(failure=QueueFull(1)))
    with pytest.raises(QueueFull):
        await bench.predict()
    assert bench.limiter.released == [Outcome.REFUSED]


async def test_queue_that_is_full_refuses_before_the_limiter_is_asked() -> None:
    """Under a flood a refusal costs no call to Redis, and the caller nothing."""
    bench = Bench(predictor=FakePredictor(is_full=True))
    with pytest.raises(QueueFull):
        await bench.predict()
    assert (bench.predictor.runs, bench.limiter.admitted) == (0, [])


async def test_journal_without_room_refuses_before_the_model_runs() -> None:
    """No work that cannot be billed, and no limit touched."""
    bench = Bench(journal=FakeJournal(is_full=True))
    with pytest.raises(JournalUnavailable):
        await bench.predict()
    assert (bench.predictor.runs, bench.limiter.admitted) == (0, [])


async def test_record_that_is_not_durable_is_no_answer() -> None:
    """No 200 without a durable row, and nothing is consumed."""
    bench = Bench(journal=FakeJournal(breaks=True))
    with pytest.raises(JournalUnavailable):
        await bench.predict()
    assert bench.limiter.released == [Outcome.REFUSED]


async def test_answer_whose_receipt_cannot_be_signed_is_not_billed() -> None:
    """It fails before the record, so the caller gets the units back."""
    bench = Bench()

    def write_receipt(_usage: UsageRecord, _grant: Grant) -> None:
        raise SigningKeyMissing("none")

    path = bench.path()
    path.write_receipt = write_receipt
    with pytest.raises(SigningKeyMissing):
        await bench.predict(path=path)
    assert (bench.journal.records, bench.limiter.released) == ([], [Outcome.FAILED])


async def test_answer_that_cannot_be_encoded_is_not_billed() -> None:
    """Encoding comes before the record, because an error is never on the bill."""
    bench = Bench(predictor=FakePredictor(scale=np.inf))
    with pytest.raises(OutputNotFinite):
        await bench.predict()
    assert bench.journal.records == []


async def test_late_answer_is_not_billed() -> None:
    """The caller was promised 504 at the deadline."""
    bench = Bench(time=DEADLINE + 1)
    with pytest.raises(DeadlineExceeded):
        await bench.predict()
    assert bench.journal.records == []


async def test_nothing_interrupts_the_record() -> None:
    """The watch over client and deadline ends before the record begins."""
    bench = Bench()
    seen: list[int] = []
    await bench.predict(before_record=lambda: seen.append(len(bench.journal.records)))
    assert seen == [0]


async def test_bad_body_meets_neither_limits_nor_model() -> None:
    """What a contract refuses costs the caller nothing at all."""
    bench = Bench()
    with pytest.raises((InputInvalid, ContractViolated)):
        await bench.predict(b'{"instances": []}')
    assert (bench.limiter.admitted, bench.predictor.runs) == ([], 0)


async def test_cancelled_prediction_gives_its_place_back() -> None:
    """A client that left holds nothing in flight."""

    class NeverEnding(FakePredictor):
        async def predict(self, _model: object, tensors: Tensors, **_: object) -> Prediction:
            await asyncio.Event().wait()
            return Prediction(tensors, 0, 0, 0, ComputeBill(ComputeAccount(), 0))

    bench = Bench(predictor=NeverEnding())
    task = asyncio.create_task(bench.predict())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bench.limiter.released == [Outcome.FAILED]


def test_model_that_is_not_granted_looks_like_none() -> None:
    """Nobody learns which models other tenants have."""
    path = Bench().path()
    granted = principal(models=frozenset({"other"}))
    with pytest.raises(ModelNotFound):
        path.resolve(granted, "double", UNNAMED, request_id="id")
    model = path.resolve(principal(), "double", UNNAMED, request_id="id")
    assert model.name == "double"
    path.leave(model)
