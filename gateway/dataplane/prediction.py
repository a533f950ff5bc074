"""The prediction path: the one place where the four pillars meet for a request.

    authenticate → resolve → decode → admit → predict → encode → record

The answer is encoded before it is recorded, because an output that cannot be encoded is an error,
and an error is never on the bill. Nothing here knows HTTP or gRPC.
"""

from asyncio import CancelledError
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from auth.authenticator import Authenticator
from auth.errors import CredentialInvalid, KeysetUnavailable
from auth.keyset import Keyset
from auth.networks import Address
from auth.principal import Principal
from auth.scopes import PREDICT
from gateway.dataplane.codec import Codec, Decoded, Encoded
from gateway.dataplane.engine_bill import waive
from gateway.dataplane.receipts import WriteReceipt, text_of, write_no_receipt
from gateway.dataplane.recorder import Recorder
from gateway.errors import OutputNotFinite
from gateway.limits.errors import StaleCatalogue
from gateway.limits.limiter import Grant, Limiter, Outcome
from gateway.limits.policy import Policy
from gateway.usage.answers import KeptAnswer
from gateway.usage.errors import JournalUnavailable
from gateway.usage.journal import Journal
from gateway.usage.receipts import AnyReceipt
from gateway.usage.record import UsageRecord
from inference.batcher import Prediction
from inference.compute_account import ComputeBill
from inference.errors import RUN_FAILURES, DeadlineExceeded, ModelNotFound, QueueFull
from inference.predictor import Predictor
from inference.registry import ModelVersion
from inference.router import Router
from inference.routing import UNNAMED, Selection

_MICROSECONDS = 1_000_000
_MOST_READINGS = 5


Source = Callable[[], Address | None]
"""Says where a request comes from, should anybody ask."""


def unknown_source() -> None:
    """Stand for a request of which nobody can tell where it comes from; no network holds it."""


def _do_nothing() -> None:
    """Stand where nothing has to be done before the record."""


Keep = Callable[[UsageRecord, Encoded, str], KeptAnswer]
"""Makes of a record, its answer and its receipt, if any, what is kept of them for retries."""


@dataclass(slots=True)
class Call:
    """One request on its way: who, which model, until when, and what to do before it is billed."""

    request_id: str
    credential: str
    source: Source
    principal: Principal
    revision: int | None
    """The revision of the catalogue by which the principal was let in; None: not to be compared."""

    model: ModelVersion
    codec: Codec
    deadline: float
    before_record: Callable[[], None] = _do_nothing
    selection: Selection = UNNAMED
    """What the request asked for; unnamed, the version was chosen here."""

    keep: Keep | None = None
    """None: the answer is not kept."""


AfterAnswer = Callable[[Call, Any, Prediction], None]
"""Told of each request that is on the bill, with its Decoded; it may only take note."""


AfterFailure = Callable[[Call, BaseException], None]
"""Told of each request that its version did not answer, for a reason of its own or of time."""


def _take_no_note(_call: Call, _decoded: object, _prediction: Prediction) -> None:
    """Stand where nobody wants to know."""


def _shrug(_call: Call, _error: BaseException) -> None:
    """Stand where nobody wants to know of failures."""


@dataclass(slots=True)
class Answer:
    """What one served request is told."""

    encoded: Encoded
    units: int
    model_version: str
    policy: Policy
    grant: Grant
    prediction: Prediction
    rows: int
    decode_seconds: float
    admit_seconds: float
    record_seconds: float
    replay_of: str = ""
    """The id of the request that ran, where this answer was given before; empty where it ran."""

    usage: UsageRecord | None = None
    """What was billed for it; None where it was given before."""

    receipt: AnyReceipt | None = None


class PredictionPath:
    """Serve predictions: check, run, bill, in an order that keeps every promise of the bill."""

    def __init__(
        self,
        *,
        keyset: Keyset,
        authenticator: Authenticator,
        router: Router,
        predictor: Predictor,
        limiter: Limiter,
        journal: Journal,
        loop_time: Callable[[], float],
        is_replicated: bool = False,
    ) -> None:
        """Put the pillars together.

        With `is_replicated` other servers change the catalogue, and tell of it no sooner than with
        an admission; what a caller holds may be newer than what is in memory.
        """
        self._keyset = keyset
        self._authenticator = authenticator
        self._router = router
        self._predictor = predictor
        self._limiter = limiter
        self._journal = journal
        self.recorder = Recorder(journal)
        self._loop_time = loop_time
        self._is_replicated = is_replicated
        self._policies: dict[str, tuple[Principal, Policy]] = {}
        self.after_answer: AfterAnswer = _take_no_note
        self.after_failure: AfterFailure = _shrug
        self.write_receipt: WriteReceipt = write_no_receipt

    async def authenticate(self, credential: str, source: Source = unknown_source) -> Principal:
        """Say who calls, from memory unless the catalogue changed since it was read.

        Raises:
            CredentialError: no valid credential.
            NetworkNotAllowed: it is bound to networks, and `source` is in none of them.
            TenantSuspended: the tenant may not call now.
            KeysetUnavailable: the catalogue changed and cannot be read.
        """
        if not self._keyset.is_current():
            await self._keyset.refresh()
        try:
            principal = self._authenticator.authenticate(credential)
        except CredentialInvalid as error:
            if not (self._is_replicated and error.is_unknown):
                raise
            await self._keyset.confirm()
            principal = self._authenticator.authenticate(credential)
        if principal.networks is not None:
            principal.require_network(source)
        return principal

    @property
    def revision(self) -> int | None:
        """The revision of the catalogue that `authenticate` answers by now.

        None where one data folder holds every writer: its counter tells of each change, so Redis
        has nothing to add, and one that comes back while SQL is away stops nobody.
        """
        return self._keyset.revision if self._is_replicated else None

    def resolve(
        self,
        principal: Principal,
        name: str,
        selection: Selection,
        *,
        request_id: str,
    ) -> ModelVersion:
        """Find the model version that the caller may use, and hold it; `leave` must follow.

        Raises:
            ScopeMissing: the credential is not for predictions.
            ModelNotFound: it does not exist, or is not granted to the tenant: the same answer.
            ModelNotReady: it exists and could not be loaded.
        """
        _check_grants(principal, name, selection.version)
        model = self._router.resolve(
            name, selection, tenant=principal.tenant_id, request_id=request_id
        )
        model.holders.add()
        return model

    def leave(self, model: ModelVersion) -> None:
        """Let go of what `resolve` returned."""
        model.holders.remove()

    async def predict(self, call: Call, body: Any, *, bytes_in: int) -> Answer:  # noqa: ANN401 - its codec's
        """Answer one request, and have it on the bill before the answer is returned.

        Raises:
            LimitError: a limit refuses the call; nothing was consumed.
            CredentialError, NetworkNotAllowed, TenantSuspended, ScopeMissing, ModelNotFound,
                KeysetUnavailable: the catalogue changed since the caller was let in, or nobody can
                say that it did not.
            InferenceError: the input, the queue or the model refuses it; nothing is billed.
            JournalUnavailable: the bill cannot be written; known before the run, nothing runs.
        """
        began = perf_counter()
        self._check_room(call, 1)  # whoever has no room for a row is told before the body is read
        decoded: Decoded = call.codec.decode(body, call.model)
        decoded_at = perf_counter()
        self._shorten(call, decoded.timeout_seconds)
        rows = decoded.rows
        units = 0 if call.principal.is_test else rows * call.model.unit_weight
        self._journal.ensure_writable()
        self._check_all_rows(call, decoded)
        started = perf_counter()
        grant = await self._admit(call, units)
        admitted = perf_counter()
        outcome = Outcome.FAILED
        bill: ComputeBill | None = None
        try:
            prediction = await self._run(call, decoded)
            bill = prediction.bill
            encoded = call.codec.encode(prediction.outputs, decoded, call.model)
            self._refuse_late(call)
            call.before_record()
            usage = self._usage(call, prediction, rows=rows, sizes=(bytes_in, encoded.size))
            receipt = self.write_receipt(usage, grant)
            kept = None if call.keep is None else call.keep(usage, encoded, text_of(receipt))
            outcome = Outcome.COMPLETED
            predicted, bill = perf_counter(), None  # the journal's word counts from here on
            await self.recorder.record(usage, kept, prediction.bill)
        except (QueueFull, JournalUnavailable):
            outcome = Outcome.REFUSED
            raise
        except (*RUN_FAILURES, OutputNotFinite, CancelledError) as error:
            self.after_failure(call, error)
            raise
        finally:
            self._limiter.release(grant, outcome)
            waive(bill)
        self.after_answer(call, decoded, prediction)
        times = decoded_at - began, admitted - started, perf_counter() - predicted
        parts = (encoded, units, call.model.version, grant.policy, grant, prediction, rows)
        return Answer(*parts, *times, usage=usage, receipt=receipt)

    async def admit_replay(self, call: Call) -> Grant:
        """Admit a call that runs nothing: it counts for the rate and in flight, and costs no units.

        Raises:
            Exception: as `predict` where a limit or the catalogue refuses.
        """
        return await self._admit(call, None)

    def release(self, grant: Grant, outcome: Outcome) -> None:
        """Settle what `admit_replay` granted; a second time does nothing."""
        self._limiter.release(grant, outcome)

    def _shorten(self, call: Call, timeout_seconds: float | None) -> None:
        """Wait no longer than the body says, where it says so."""
        if timeout_seconds is not None:
            call.deadline = min(call.deadline, self._loop_time() + timeout_seconds)

    def _check_all_rows(self, call: Call, decoded: Decoded) -> None:
        """Refuse what is known to be too much now; a single row was looked at already."""
        if decoded.rows > 1 or decoded.timeout_seconds is not None:
            self._check_room(call, decoded.rows)

    def _check_room(self, call: Call, rows: int) -> None:
        """Refuse what could not be answered, before it costs the caller anything."""
        principal = call.principal
        self._predictor.check_room(
            call.model,
            rows=rows,
            lane=principal.tenant_id,
            weight=principal.weight,
            deadline=call.deadline,
        )

    def _run(self, call: Call, decoded: Decoded) -> Coroutine[Any, Any, Prediction]:
        """Let the model answer, among the other tenants' requests."""
        principal = call.principal
        return self._predictor.predict(
            call.model,
            decoded.tensors,
            rows=decoded.rows,
            lane=principal.tenant_id,
            weight=principal.weight,
            deadline=call.deadline,
        )

    async def _admit(self, call: Call, units: int | None) -> Grant:
        """Admit a call by a catalogue that no answered change is missing from; None is not billed.

        Threat: a key that was revoked on another machine is in this one's memory still; Redis
        knows, and then SQL is read before anybody is let in.
        """
        stale = None
        for _ in range(_MOST_READINGS):
            principal = call.principal
            try:
                return await self._limiter.admit(
                    self._policy_of(principal),
                    units=units or 0,
                    billed=units is not None and not principal.is_test,
                    revision=call.revision,
                    after=stale,
                )
            except StaleCatalogue as error:
                stale = error
            await self._check_again(call)
        raise KeysetUnavailable("the keys change faster than they can be read")

    async def _check_again(self, call: Call) -> None:
        await self._keyset.confirm()
        call.principal = self._authenticator.authenticate(call.credential)
        call.principal.require_network(call.source)
        call.revision = self.revision
        _check_grants(call.principal, call.model.name, call.model.version)

    def _usage(
        self, call: Call, prediction: Prediction, *, rows: int, sizes: tuple[int, int]
    ) -> UsageRecord:
        """Write down what is billed for one answer; the sizes are bytes in and out."""
        principal = call.principal
        return UsageRecord(
            request_id=call.request_id,
            occurred_at_us=self._journal.stamp(),
            tenant_id=principal.tenant_id,
            key_id=principal.credential_id,
            model=call.model.name,
            version=call.model.version,
            protocol=call.codec.protocol,
            rows=rows,
            units=0 if principal.is_test else rows * call.model.unit_weight,
            is_test=principal.is_test,
            queue_us=int(prediction.queue_seconds * _MICROSECONDS),
            compute_us=prediction.bill.part_us,
            bytes_in=sizes[0],
            bytes_out=sizes[1],
        )

    def _refuse_late(self, call: Call) -> None:
        """Keep a late answer off the bill: the caller was promised 504 at the deadline."""
        if self._loop_time() > call.deadline:
            raise DeadlineExceeded

    def _policy_of(self, principal: Principal) -> Policy:
        """Return the limits of a principal, made once for each version of it."""
        known = self._policies.get(principal.credential_id)
        if known is not None and known[0] is principal:
            return known[1]
        policy = Policy(
            tenant_id=principal.tenant_id,
            key_id=principal.credential_id,
            requests_per_second=principal.requests_per_second,
            burst=principal.burst,
            units_per_month=principal.units_per_month,
            max_in_flight=principal.max_in_flight,
        )
        self._policies[principal.credential_id] = (principal, policy)
        return policy


def _check_grants(principal: Principal, name: str, version: str | None) -> None:
    """Pass if the caller may use the model; one that is not granted looks like none."""
    principal.require(PREDICT)
    if not principal.may_use(name):
        raise ModelNotFound(name, version)
