"""The gRPC door of the prediction path: who calls, may they, and what they are told.

Every method is registered as one that reads a stream, which looks the same on the wire and lets a
caller be judged before the message is read.

Threat: gRPC otherwise hands a message over as a whole, so that callers without a credential could
make the server hold 64 MB for each of their calls.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, NamedTuple

import grpc

from auth.errors import ScopeMissing
from auth.principal import Principal
from auth.scopes import PREDICT
from gateway.credentials import extract_credential
from gateway.dataplane.compression import Inflater
from gateway.dataplane.grpc_arrivals import Arrivals
from gateway.dataplane.grpc_call import Context, GrpcCall, Headers
from gateway.dataplane.grpc_codec import GrpcCodec
from gateway.dataplane.grpc_message import InferMessage, read_infer
from gateway.dataplane.grpc_status import Metadata, as_metadata, problem_metadata, status_code
from gateway.dataplane.idempotency import Asked, digest_of, read_key, replay_headers
from gateway.dataplane.paths import read_names
from gateway.dataplane.prediction import Answer, Call, PredictionPath
from gateway.dataplane.receipts import receipt_headers
from gateway.dataplane.request_ids import RequestIds
from gateway.errors import BodyTooSlow, ClientDisconnected
from gateway.limits.headers import limit_headers
from gateway.observability.exchange import Exchange
from gateway.observability.observer import RequestObserver
from gateway.problems import Problem, noted_problem
from gateway.services import Services
from inference.errors import DeadlineExceeded

SERVICE: Final = "inference.GRPCInferenceService"
_CODEC: Final = GrpcCodec()


class Reply(NamedTuple):
    """What a call that was served is told."""

    content: bytes
    metadata: Metadata = ()


Work = Callable[[GrpcCall, Exchange], Awaitable[Reply]]


class GrpcDoor:
    """Let callers in, answer predictions, and turn every failure into a status."""

    def __init__(
        self, services: Services, *, request_ids: RequestIds, observer: RequestObserver
    ) -> None:
        self._services = services
        self._request_ids = request_ids
        self._observer = observer
        self._arrivals = Arrivals()
        self._inflater = Inflater(services.settings.max_body_bytes)
        self._timeout_seconds = services.settings.request_timeout_seconds
        self._trusts_proxy = services.settings.trusts_proxy

    def method(self, name: str, work: Work) -> "grpc.RpcMethodHandler[bytes, bytes]":
        """Make the handler of one method."""
        route = f"/{SERVICE}/{name}"

        async def serve(_messages: AsyncIterator[bytes], context: Context) -> bytes:
            return await self._serve(context, work, route=route)

        return grpc.stream_unary_rpc_method_handler(serve)

    async def infer(self, call: GrpcCall, exchange: Exchange) -> Reply:
        """Answer `ModelInfer`."""
        path: PredictionPath = self._services.prediction
        credential = extract_credential(call.headers, b"")
        principal = await path.authenticate(credential, call.source)
        revision = path.revision
        exchange.principal = principal
        principal.require(PREDICT)
        message = await self._read(call, exchange)
        name, selection = read_names(message.head.model_name, message.head.model_version)
        request_id = exchange.request_id
        exchange.model = model = path.resolve(principal, name, selection, request_id=request_id)
        try:
            prediction = Call(
                request_id,
                credential,
                call.source,
                principal,
                revision,
                model,
                _CODEC,
                call.deadline,
                call.let_finish,
                selection,
            )
            answer = await self._predict(path, call.headers, prediction, message=message)
        finally:
            path.leave(model)
        exchange.answered(answer)
        return Reply(answer.encoded.body, _answer_metadata(answer))

    async def _read(self, call: GrpcCall, exchange: Exchange) -> InferMessage:
        """Read the message, together with those of others who come now; its bytes are not kept."""
        content = await call.read()
        exchange.bytes_in = len(content)
        await self._arrivals.gather(len(content))
        return read_infer(content)

    async def _predict(
        self,
        path: PredictionPath,
        headers: Headers,
        call: Call,
        *,
        message: InferMessage,
    ) -> Answer:
        """Run a prediction, or answer one with a key as before."""
        key = read_key(headers)
        if key is None:
            return await path.predict(call, message, bytes_in=message.size)
        asked = Asked(key, await digest_of(message.canonical_bytes(), "grpc"))
        idempotency = self._services.idempotency
        return await idempotency.predict(call, message, bytes_in=message.size, asked=asked)

    async def authorize(self, call: GrpcCall, exchange: Exchange, *scopes: str) -> Principal:
        """Say who calls beside predictions, and pass if that principal holds one of `scopes`.

        Threat: nothing tells this server of a key that was revoked on another one; a call that
        meets no limiter asks SQL.

        Raises:
            CredentialError, NetworkNotAllowed, TenantSuspended: as `PredictionPath.authenticate`.
            ScopeMissing: the principal holds none of them.
        """
        credential = extract_credential(call.headers, b"")
        if self._services.settings.replicas > 1:
            await self._services.keyset.confirm()
        principal = await self._services.prediction.authenticate(credential, call.source)
        exchange.principal = principal
        if principal.scopes.isdisjoint(scopes):
            raise ScopeMissing(scopes[0])
        return principal

    async def _serve(self, context: Context, work: Work, *, route: str) -> bytes:
        """Serve one call; every failure becomes a status."""
        call = GrpcCall(
            context,
            inflater=self._inflater,
            timeout_seconds=self._timeout_seconds,
            trusts_proxy=self._trusts_proxy,
        )
        request_id = self._request_ids.take(call.headers)
        exchange = self._observer.begin(call.scope, request_id, route=route)
        self._arrivals.begin()
        try:
            outcome = await self._outcome(call, exchange, work)
        finally:
            self._arrivals.end()
            self._observer.finish(exchange)
            self._observer.end()
        if isinstance(outcome, Problem):
            code = status_code(outcome.status, outcome.code)
            await context.abort(code, outcome.detail, problem_metadata(outcome, request_id))
        context.set_trailing_metadata((("x-request-id", request_id), *outcome.metadata))
        return outcome.content

    async def _outcome(self, call: GrpcCall, exchange: Exchange, work: Work) -> Reply | Problem:
        """Find out what is answered, and note it."""
        try:
            async with call.timer:
                reply = await work(call, exchange)
        except asyncio.CancelledError:
            reason = DeadlineExceeded() if call.is_overdue else ClientDisconnected()
            self._refused(exchange, reason)
            raise
        except Exception as error:  # noqa: BLE001 - the gRPC boundary: nothing may escape it
            attempts = self._services.attempts
            return self._refused(exchange, attempts.judge(call.scope, _told(call, error)))
        exchange.status = exchange.status or 200
        exchange.bytes_out = len(reply.content)
        return reply

    def _refused(self, exchange: Exchange, error: Exception) -> Problem:
        problem = noted_problem(error, exchange.request_id)
        exchange.refused(problem.status, problem.code)
        return problem


def _told(call: GrpcCall, error: Exception) -> Exception:
    """Say what a caller is told of an error: nothing of what the timer interrupted."""
    if not call.timer.expired():
        return error
    is_slow = call.is_reading and not call.is_overdue
    return BodyTooSlow() if is_slow else DeadlineExceeded()


def _answer_metadata(answer: Answer) -> Metadata:
    return (
        ("tollgate-units", str(answer.units)),
        ("tollgate-model-version", answer.model_version),
        *as_metadata(limit_headers(answer.policy, answer.grant.standing)),
        *(as_metadata(replay_headers(answer)) if answer.replay_of else ()),
        *as_metadata(receipt_headers(answer.receipt)),
    )
