"""A request with an idempotency key runs and is billed once, whatever becomes of its callers."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.dataplane.idempotency import Asked, Idempotency, digest_of, read_key
from gateway.dataplane.key_queue import KeyQueue
from gateway.dataplane.prediction import Answer, Call
from gateway.dataplane.v1 import V1Codec
from gateway.errors import (
    IdempotencyAnswerTooLarge,
    IdempotencyInProgress,
    IdempotencyKeyInvalid,
    IdempotencyKeyReused,
)
from gateway.limits.limiter import Outcome
from gateway.usage.answer_reader import AnswerReader
from gateway.usage.claims import Claims
from gateway.usage.errors import AnswersFull
from gateway.usage.journal import Journal
from gateway.usage.record import UsageRecord
from inference.errors import ModelFailed
from inference.registry import ModelVersion
from tests.unit.gateway.dataplane.test_prediction import Bench, FakeModel, principal

BODY = b'{"instances": [1, 2, 3]}'
PATIENT = 1e12
MARK_SECONDS = 10.0


@dataclass
class Worker:
    """One worker of a data folder: a path between fakes, and a journal on disk."""

    bench: Bench
    journal: Journal
    claims: Claims
    idempotency: Idempotency
    requests: int = 0

    async def predict(
        self,
        body: bytes = BODY,
        *,
        key: bytes = b"once",
        tenant_id: str = "ten_a",
        is_test: bool = False,
        deadline: float = PATIENT,
    ) -> Answer:
        """Send one request with a key."""
        self.requests += 1
        caller = replace(principal(is_test=is_test), tenant_id=tenant_id)
        codec: Any = V1Codec()
        model = cast("ModelVersion", FakeModel())
        request_id = f"{self.journal.path.stem} {self.requests}"
        call = Call(request_id, "tg_x", lambda: None, caller, 7, model, codec, deadline)
        asked = Asked(key, await digest_of(body))
        return await self.idempotency.predict(call, body, bytes_in=len(body), asked=asked)

    async def records(self) -> int:
        """Count the requests that the journal holds."""
        return (await self.outcomes()).count("ok")

    async def outcomes(self) -> list[str]:
        """List what the journal holds."""
        segments = await self.journal.read(0, 1000)
        written = [] if segments is None else json.loads(segments.records)
        return [UsageRecord(*fields).outcome for fields in written]

    async def wait_for_the_mark(self) -> None:
        """Wait until what was recorded is marked as lost, once."""
        async with asyncio.timeout(MARK_SECONDS):
            while "lost" not in await self.outcomes():  # noqa: ASYNC110 - it is on a disk
                await asyncio.sleep(0)
        assert (await self.outcomes()).count("lost") == 1

    @property
    def runs(self) -> int:
        """How often the model ran here."""
        return self.bench.predictor.runs


@contextlib.asynccontextmanager
async def running_worker(
    folder: Path, slot: int = 0, *, max_answer_bytes: int = 1024
) -> AsyncIterator[Worker]:
    """Run a worker for the length of a block."""
    journal = Journal(folder / f"worker-{slot}.db", max_bytes=1 << 20, max_answer_bytes=1 << 20)
    await journal.open()
    claims = Claims(folder)
    claims.mark_open(journal.path)
    reader = AnswerReader(journal.path, claims)
    bench = Bench(journal=cast("Any", journal))
    idempotency = Idempotency(
        bench.path(),
        journal,
        queue=KeyQueue(claims),
        reader=reader,
        max_answer_bytes=max_answer_bytes,
    )
    yield Worker(bench, journal, claims, idempotency)
    await idempotency.close()
    await reader.close()
    await journal.close()
    claims.close()


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    """Run the only worker of a folder."""
    async with running_worker(tmp_path) as running:
        yield running


@pytest.fixture
async def other(tmp_path: Path, worker: Worker) -> AsyncIterator[Worker]:
    """Run another worker beside it."""
    assert worker
    async with running_worker(tmp_path, 1) as running:
        yield running


GOOD_KEYS = {
    b"8e03978e-40d5-43dd-bc93-6894a57f9324": b"8e03978e-40d5-43dd-bc93-6894a57f9324",
    b'"8e03978e-40d5-43dd-bc93-6894a57f9324"': b"8e03978e-40d5-43dd-bc93-6894a57f9324",
    b' "a key" ': b"a key",
    rb'"a \"quoted\" \\ key"': rb'a "quoted" \ key',
    b"A" * 255: b"A" * 255,
}
BAD_KEYS = [
    *(b"", b'""', b'"', b'"a', b'a"', b"a b", b"a,b", b'"a";b=1', b'"a", "b"', b'"\\a"'),
    *(b"\xc3\xbc", b'"\xc3\xbc"', b'"a\tb"', b"A" * 256, b'"%s"' % (b"A" * 256)),
]


@pytest.mark.parametrize("value", GOOD_KEYS)
def test_key_is_a_string_in_quotes_or_without(value: bytes) -> None:
    """Both spellings of a key are the same key."""
    assert read_key([(b"accept", b"*/*"), (b"idempotency-key", value)]) == GOOD_KEYS[value]


@pytest.mark.parametrize("value", BAD_KEYS)
def test_malformed_key_is_refused(value: bytes) -> None:
    """Nobody guesses which key was meant."""
    with pytest.raises(IdempotencyKeyInvalid):
        read_key([(b"idempotency-key", value)])


def test_two_keys_are_refused_and_none_is_none() -> None:
    """One request has one key."""
    with pytest.raises(IdempotencyKeyInvalid):
        read_key([(b"idempotency-key", b"a"), (b"idempotency-key", b"a")])
    assert read_key([(b"x-idempotency-key", b"a")]) is None


async def test_digests_keep_forms_and_bodies_apart() -> None:
    """No two ways to cut the same bytes are one request, whether in a thread or not."""
    large = bytes(1 << 20)
    digests = {
        await digest_of(b"c", "a", "b"),
        await digest_of(b"c", "ab", ""),
        await digest_of(b"bc", "a", ""),
        await digest_of(large, "a", "b"),
        await digest_of(memoryview(large)[1:], "a", "b"),
    }
    assert len(digests) == 5


async def test_retry_gets_the_answer_of_the_first(worker: Worker) -> None:
    """Byte for byte, with its units and version, and the id of the request that was billed."""
    first = await worker.predict()
    again = await worker.predict()
    assert again.encoded == first.encoded._replace(headers=[*first.encoded.headers])
    assert (again.units, again.model_version) == (first.units, first.model_version) == (15, "3")
    assert (first.replay_of, again.replay_of) == ("", "worker-0 1")
    assert (worker.runs, await worker.records()) == (1, 1)


async def test_retry_counts_for_the_rate_and_costs_no_units(worker: Worker) -> None:
    """It is admitted as a request of no units, outside the monthly quota."""
    await worker.predict()
    await worker.predict()
    assert worker.bench.limiter.admitted == [(15, True), (0, False)]
    assert worker.bench.limiter.released == [Outcome.COMPLETED] * 2


async def test_retry_may_reach_another_worker(worker: Worker, tmp_path: Path) -> None:
    """Also after the record was delivered, and with the first worker gone."""
    async with running_worker(tmp_path, 1) as first:
        await first.predict()
        assert (await worker.predict()).replay_of == "worker-1 1"
        await first.journal.discard(first.journal.position)
    assert (await worker.predict()).replay_of == "worker-1 1"
    assert worker.runs == 0


async def test_another_request_with_the_key_is_refused(worker: Worker) -> None:
    """It is neither run nor answered with what it did not ask for."""
    await worker.predict()
    with pytest.raises(IdempotencyKeyReused):
        await worker.predict(b'{"instances": [4]}')
    assert (worker.runs, await worker.records()) == (1, 1)


async def test_tenants_and_test_keys_have_keys_of_their_own(worker: Worker) -> None:
    """Nobody is answered with what another asked, and nothing unbilled answers for billed."""
    answers = [
        await worker.predict(),
        await worker.predict(tenant_id="ten_b"),
        await worker.predict(is_test=True),
    ]
    assert [answer.replay_of for answer in answers] == [""] * 3
    assert worker.runs == 3


async def test_failed_run_leaves_the_key_free(worker: Worker) -> None:
    """The next request with it runs; only answers are kept."""
    worker.bench.predictor.failure = ModelFailed("no")
    with pytest.raises(ModelFailed):
        await worker.predict()
    worker.bench.predictor.failure = None
    assert (await worker.predict()).replay_of == ""
    assert (worker.runs, await worker.records()) == (2, 1)


async def test_duplicates_at_the_same_time_share_one_run(worker: Worker, other: Worker) -> None:
    """Ten at each of two workers get one answer, under one id."""
    answers = await asyncio.gather(*(each.predict() for _ in range(10) for each in (worker, other)))
    ran = [answer for answer in answers if not answer.replay_of]
    assert len({bytes(answer.encoded.body) for answer in answers}) == 1
    assert len({answer.replay_of for answer in answers}) == 2
    assert len(ran) == worker.runs + other.runs == 1
    assert await worker.records() + await other.records() == 1


def hold_next_run(
    worker: Worker, *, error: Exception | None = None
) -> tuple[asyncio.Event, asyncio.Event]:
    """Let a run tell by the first event that it has begun, and wait for the second to end."""
    running, going_on = asyncio.Event(), asyncio.Event()
    predict = worker.bench.predictor.predict

    async def run_slowly(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - as the fake's
        worker.bench.predictor.predict = predict  # type: ignore[method-assign]
        running.set()
        await going_on.wait()
        if error is not None:
            raise error
        return await predict(*arguments, **options)

    worker.bench.predictor.predict = run_slowly  # type: ignore[method-assign]
    return running, going_on


async def test_waiting_ends_before_the_deadline(worker: Worker, other: Worker) -> None:
    """Whoever cannot wait is told to come back, in the same worker and in another."""
    running, done = hold_next_run(worker, error=ModelFailed("no"))
    first = asyncio.create_task(worker.predict())
    await running.wait()
    for each in (worker, other):
        with pytest.raises(IdempotencyInProgress):
            await each.predict(deadline=0.0)
    done.set()
    with pytest.raises(ModelFailed):
        await first
    assert other.bench.limiter.released == [Outcome.FAILED]


async def test_who_waits_runs_when_the_first_fails(worker: Worker) -> None:
    """The key goes to the next in turn, and passes over those that have left."""
    running, failing = hold_next_run(worker, error=ModelFailed("no"))
    first = asyncio.create_task(worker.predict())
    await running.wait()
    impatient = asyncio.create_task(worker.predict())
    patient = [asyncio.create_task(worker.predict()) for _ in range(3)]
    while len(worker.bench.limiter.admitted) < 5:  # noqa: ASYNC110 - all of them wait now
        await asyncio.sleep(0)
    impatient.cancel()
    failing.set()
    with pytest.raises(ModelFailed):
        await first
    answers = await asyncio.gather(*patient)
    assert [bool(answer.replay_of) for answer in answers] == [False, True, True]
    assert await worker.records() == 1
    with pytest.raises(asyncio.CancelledError):
        await impatient


async def test_caller_that_leaves_during_the_commit_is_answered_when_it_comes_again(
    worker: Worker,
) -> None:
    """The claim is held until the answer is on the disk, so that the retry finds it.

    That nobody got the first one is marked.
    """
    answer = asyncio.create_task(worker.predict())
    while not any(entry[2] and entry[2].is_travelling for entry in _pending(worker)):  # noqa: ASYNC110
        await asyncio.sleep(0)
    answer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answer
    assert (await worker.predict()).replay_of == "worker-0 1"
    assert (worker.runs, await worker.records()) == (1, 1)
    await worker.wait_for_the_mark()


async def test_caller_that_leaves_when_the_answer_is_there_is_marked(worker: Worker) -> None:
    """It is cancelled after the run was done, and before it heard of it."""
    answer = asyncio.create_task(worker.predict())
    while not worker.idempotency._runs:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0)
    [run] = worker.idempotency._runs
    run.add_done_callback(lambda _: answer.cancel())
    with pytest.raises(asyncio.CancelledError):
        await answer
    await worker.wait_for_the_mark()


async def test_caller_that_leaves_before_its_run_owes_nothing(worker: Worker) -> None:
    """Nothing runs while the key is being looked up, and it is free again."""
    first = asyncio.create_task(worker.predict())
    while not worker.idempotency._queue._waiting:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (await worker.predict()).replay_of == ""
    assert (worker.runs, await worker.outcomes()) == (1, ["ok"])


async def test_run_goes_on_when_its_caller_leaves(worker: Worker) -> None:
    """Whoever named a request will ask for its answer, and it is not run for them again."""
    running, going_on = hold_next_run(worker)
    first = asyncio.create_task(worker.predict())
    await running.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    again = asyncio.create_task(worker.predict())
    going_on.set()
    assert (await again).replay_of == "worker-0 1"
    assert (worker.runs, await worker.records()) == (1, 1)
    await worker.wait_for_the_mark()


async def test_run_whose_caller_was_told_that_it_is_late_is_not_billed(worker: Worker) -> None:
    """What was refused with the deadline is on no bill, and its key is free."""
    running, going_on = hold_next_run(worker)
    worker.bench.time = 1.0
    late = asyncio.create_task(worker.predict(deadline=2.0))
    await running.wait()
    late.cancel()
    with pytest.raises(asyncio.CancelledError):
        await late
    going_on.set()
    assert (await worker.predict()).replay_of == ""
    assert (worker.runs, await worker.outcomes()) == (2, ["ok"])


async def test_answer_too_large_to_be_kept_is_never_billed_twice(tmp_path: Path) -> None:
    """It is answered once; whoever comes again is told that it is not run again."""
    async with running_worker(tmp_path, max_answer_bytes=8) as worker:
        assert (await worker.predict()).replay_of == ""
        with pytest.raises(IdempotencyAnswerTooLarge):
            await worker.predict()
        assert (worker.runs, await worker.records()) == (1, 1)


async def test_full_room_refuses_before_anything_runs(worker: Worker) -> None:
    """A key that could not be remembered is not taken; those that are known are answered."""
    await worker.predict()
    worker.journal.answers.add([("ten_a", worker.journal.answers.max_bytes)])
    with pytest.raises(AnswersFull):
        await worker.predict(key=b"another")
    assert (await worker.predict()).replay_of
    assert worker.runs == 1


def _pending(worker: Worker) -> list[Any]:
    """List what waits for the disk."""
    return [*worker.journal._flushes.pending()]
