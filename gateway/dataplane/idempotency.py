"""Answer a prediction that is sent again with what it was answered the first time: Idempotency-Key.

The answer is durable in the commit that puts the request on the bill, and whoever works on a key
holds a claim on it that dies with its process. So a key is run and billed once, whichever worker
of the data folder is asked, however often, and whoever is killed in between.

Source: draft-ietf-httpapi-idempotency-key-header-07.
"""

import asyncio
import re
from collections.abc import Sequence
from functools import partial
from hashlib import sha256
from typing import Any, Final, NamedTuple

import orjson

from gateway.dataplane.codec import Encoded
from gateway.dataplane.key_queue import KeyQueue
from gateway.dataplane.prediction import Answer, Call, PredictionPath
from gateway.errors import (
    IdempotencyAnswerTooLarge,
    IdempotencyInProgress,
    IdempotencyKeyInvalid,
    IdempotencyKeyReused,
)
from gateway.limits.limiter import Grant, Outcome
from gateway.usage.answer_reader import AnswerReader
from gateway.usage.answers import FoundAnswer, KeptAnswer
from gateway.usage.journal import Journal
from gateway.usage.receipts import KeptReceipt
from gateway.usage.record import UsageRecord
from inference.batcher import Prediction
from inference.compute_account import ComputeAccount, ComputeBill

_NAME: Final = b"idempotency-key"
_QUOTED: Final = re.compile(rb'"((?:[ !#-\[\]-~]|\\["\\]){1,255})"')
_BARE: Final = re.compile(rb"[A-Za-z0-9._~:/+=@-]{1,255}")
_ESCAPED: Final = re.compile(rb'\\(["\\])')
_INLINE_BYTES: Final = 262_144
"""A body whose digest takes a fraction of a millisecond."""

_MARGIN_SECONDS: Final = 0.05
"""A caller that waits in vain is told so this long before its deadline."""

_TIMER_SECONDS: Final = 0.005
"""Timers of a deadline may fire this much before it."""

_NO_RUN: Final = Prediction({}, 0.0, 0.0, 0, ComputeBill(ComputeAccount(), 0, is_settled=True))

Headers = Sequence[tuple[bytes, bytes]]
Body = bytes | memoryview


class Asked(NamedTuple):
    """A request that may come again."""

    key: bytes
    """The idempotency key, as it was sent."""

    request: bytes
    """The digest of all that the answer depends on."""


def read_key(headers: Headers) -> bytes | None:
    """Return the idempotency key of a request; None where it has none.

    It is a string in quotes, as the draft says; or the same without them, as most clients send it.

    Cost: a walk over the names for every request, and nothing else where there is no key.

    Raises:
        IdempotencyKeyInvalid: it is neither, or there are two.
    """
    for name, _ in headers:
        if name == _NAME:
            return _the_key([value for name, value in headers if name == _NAME])
    return None


def _the_key(given: list[bytes]) -> bytes:
    value = given[0].strip(b" \t")
    if len(given) == 1:
        if _BARE.fullmatch(value) is not None:
            return value
        quoted = _QUOTED.fullmatch(value)
        if quoted is not None:
            return _ESCAPED.sub(rb"\1", quoted[1])
    raise IdempotencyKeyInvalid


async def digest_of(body: Body, *form: str) -> bytes:
    """Return the digest of a request: its body, and how it is to be read and answered.

    The digest of a large body is made in a thread.
    """
    head = b"".join(b"%d:%s" % (len(part), part) for part in (text.encode() for text in form))
    if len(body) <= _INLINE_BYTES:
        return _digest(head, body)
    return await asyncio.to_thread(_digest, head, body)


class Idempotency:
    """Let requests with a key run once, and answer the others with what that one was answered.

    Keys are a tenant's, whichever of its credentials is used: a retry must not cost twice because
    the key of the API was rotated before it. Test keys have keys of their own, since what they did
    is not billed.
    """

    def __init__(
        self,
        path: PredictionPath,
        journal: Journal,
        *,
        queue: KeyQueue,
        reader: AnswerReader,
        max_answer_bytes: int,
    ) -> None:
        """Put it together; answers over `max_answer_bytes` are not kept, only that they were."""
        self._path = path
        self._journal = journal
        self._queue = queue
        self._reader = reader
        self._max_answer_bytes = max_answer_bytes
        self._runs: set[asyncio.Task[Answer]] = set()
        self.replays = 0
        """Answers that were given again since the start."""

    async def predict(self, call: Call, body: Any, *, bytes_in: int, asked: Asked) -> Answer:  # noqa: ANN401 - its codec's
        """Answer one request, the first time by running it.

        Raises:
            IdempotencyKeyReused: the key stands for another request.
            IdempotencyInProgress: the first is still running when the caller's patience ends.
            IdempotencyAnswerTooLarge: it was answered, and the answer was too large to be kept.
            AnswersFull: no more answers can be kept; nothing ran.
            JournalUnavailable: nobody can say whether it was answered; nothing ran.
            Exception: as `PredictionPath.predict`; the key is free again.
        """
        principal = call.principal
        key = _scoped(asked.key, principal.tenant_id, is_test=principal.is_test)
        waiting: Grant | None = None
        if not self._queue.take(key):
            waiting = await self._wait(call, key)
        run: asyncio.Task[Answer] | None = None
        try:
            found = await self._reader.find(key)
            if found is not None:
                return await self._replay(call, asked, found, waiting=waiting)
            self._journal.answers.check(principal.tenant_id)
            if waiting is not None:
                self._path.release(waiting, Outcome.REFUSED)
            kept = KeptAnswer(key, asked.request, principal.tenant_id, "", None)
            run = self._begin(call, body, kept, bytes_in=bytes_in)
        finally:
            if waiting is not None:
                self._path.release(waiting, Outcome.FAILED)
            if run is None:
                self._queue.give_back(key)
        return await self._await_run(call, run)

    async def close(self) -> None:
        """Give up the runs that nobody waits for."""
        runs = [*self._runs]
        for run in runs:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)

    def _begin(
        self,
        call: Call,
        body: Any,  # noqa: ANN401 - its codec's
        kept: KeptAnswer,
        *,
        bytes_in: int,
    ) -> "asyncio.Task[Answer]":
        """Run a request in a task of its own, which holds the claim and the model."""
        call.keep = partial(self._keep, kept=kept)
        run = asyncio.create_task(self._run(call, body, kept, bytes_in=bytes_in))
        self._runs.add(run)
        run.add_done_callback(self._end)
        return run

    async def _run(self, call: Call, body: Any, kept: KeptAnswer, *, bytes_in: int) -> Answer:  # noqa: ANN401 - its codec's
        call.model.holders.add()
        try:
            return await self._path.predict(call, body, bytes_in=bytes_in)
        finally:
            call.model.holders.remove()
            self._let_go(kept)

    async def _await_run(self, call: Call, run: "asyncio.Task[Answer]") -> Answer:
        """Wait for a run, which goes on if its caller leaves: whoever named it will ask again.

        One whose caller was told that the deadline had passed is late, and not billed. Of one that
        is billed, the answer is marked as lost: a retry may get it, and nobody knows of one.
        """
        before_record, is_attached = call.before_record, True

        def hold_caller() -> None:
            if is_attached:
                before_record()

        call.before_record = hold_caller
        try:
            return await asyncio.shield(run)
        except asyncio.CancelledError:
            if asyncio.get_running_loop().time() > call.deadline - _TIMER_SECONDS:
                call.deadline = 0.0
            run.add_done_callback(self._mark_lost)
            raise
        finally:
            is_attached = False

    def _mark_lost(self, run: "asyncio.Task[Answer]") -> None:
        """Mark what a run put on the bill; where it is cancelled, the recorder does."""
        if run.cancelled() or run.exception() is not None:
            return
        usage = run.result().usage
        if usage is not None:
            self._path.recorder.mark_soon(usage)

    def _end(self, run: "asyncio.Task[Answer]") -> None:
        self._runs.discard(run)
        if not run.cancelled():
            run.exception()  # somebody was told, or nobody is there to tell

    async def _wait(self, call: Call, key: bytes) -> Grant:
        """Wait for the claim, as one of the tenant's requests in flight.

        Threat: whoever sent thousands of duplicates of one slow request could otherwise have all
        of them wait here, past every limit.
        """
        grant = await self._path.admit_replay(call)
        is_claimed = False
        try:
            async with asyncio.timeout_at(call.deadline - _MARGIN_SECONDS) as patience:
                await self._queue.wait(key)
            is_claimed = True
        except TimeoutError:
            if not patience.expired():
                raise
            raise IdempotencyInProgress from None
        finally:
            if not is_claimed:
                self._path.release(grant, Outcome.FAILED)
        return grant

    async def _replay(
        self, call: Call, asked: Asked, found: FoundAnswer, *, waiting: Grant | None
    ) -> Answer:
        """Give an answer again; it takes from the rate, and nothing from the quota."""
        if found.request != asked.request:
            raise IdempotencyKeyReused
        if found.body is None:
            raise IdempotencyAnswerTooLarge
        grant = waiting or await self._path.admit_replay(call)
        self._path.release(grant, Outcome.COMPLETED)
        self.replays += 1
        fields, headers, *receipts = orjson.loads(found.details)
        usage = UsageRecord(*fields)
        encoded = Encoded(
            found.body,
            len(found.body),
            [(name.encode(), value.encode("latin-1")) for name, value in headers],
        )
        return Answer(
            encoded,
            usage.units,
            usage.version,
            grant.policy,
            grant,
            _NO_RUN,
            rows=0,
            decode_seconds=0.0,
            admit_seconds=0.0,
            record_seconds=0.0,
            replay_of=usage.request_id,
            receipt=KeptReceipt(receipts[0]) if receipts and receipts[0] else None,
        )

    def _keep(
        self, usage: UsageRecord, encoded: Encoded, receipt: str, *, kept: KeptAnswer
    ) -> KeptAnswer:
        """Say what is kept of an answer that is about to be recorded."""
        headers = [(name.decode(), value.decode("latin-1")) for name, value in encoded.headers]
        kept.details = orjson.dumps((tuple(usage), headers, receipt)).decode()
        if encoded.size <= self._max_answer_bytes:
            kept.body = bytes(encoded.body)
        return kept

    def _let_go(self, kept: KeptAnswer) -> None:
        """Give the claim back, once it is known whether the answer is on the disk.

        Threat: a run that is given up during the commit would let a retry look before it is done.
        """
        if kept.is_pending:
            kept.on_landed = partial(self._queue.give_back, kept.key)
        else:
            self._queue.give_back(kept.key)


def replay_headers(answer: Answer) -> list[tuple[bytes, bytes]]:
    """Tell that an answer was given before, and to which request."""
    return [
        (b"idempotency-replayed", b"true"),
        (b"tollgate-original-request-id", answer.replay_of.encode()),
    ]


def _scoped(key: bytes, tenant_id: str, *, is_test: bool) -> bytes:
    """Name a key of one tenant; nobody else's is the same.

    Threat: with the caller's text alone, whoever guessed a key would read another tenant's answer.
    """
    tenant = tenant_id.encode()
    return sha256(b"%d:%s%d%s" % (len(tenant), tenant, is_test, key)).digest()


def _digest(head: bytes, body: Body) -> bytes:
    digest = sha256(head)
    digest.update(body)
    return digest.digest()
