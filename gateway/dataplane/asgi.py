"""The HTTP door of the prediction path: plain ASGI, in front of FastAPI and its middleware.

FastAPI's routing, validation and middleware cost more than the model, the gates and the bill
together; the operations are nevertheless part of the one OpenAPI document (`openapi.py`).
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any

from gateway.addresses import source_of
from gateway.credentials import extract_credential
from gateway.dataplane.codecs import choose_codec, form_of
from gateway.dataplane.compression import compressed, wanted_coding
from gateway.dataplane.connection import CONNECTION, LOST, WATCH, Connection, Headers, Scope
from gateway.dataplane.idempotency import Asked, Idempotency, digest_of, read_key, replay_headers
from gateway.dataplane.paths import INFER, Target, read_target, route_of
from gateway.dataplane.prediction import Answer, Call, PredictionPath
from gateway.dataplane.receipts import receipt_headers
from gateway.dataplane.request_body import Body, BodyReader, Receive
from gateway.dataplane.request_ids import RequestIds
from gateway.dataplane.timeouts import read_timeout
from gateway.dataplane.watch import Deadlines, Watch
from gateway.errors import MethodNotAllowed
from gateway.limits.headers import limit_headers
from gateway.observability.exchange import Exchange
from gateway.observability.observer import RequestObserver
from gateway.problems import Problem, noted_problem, send_problem

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class PredictionDoor:
    """Answer predictions, each in the protocol that its path and headers say."""

    def __init__(
        self,
        *,
        request_ids: RequestIds,
        observer: RequestObserver,
        max_body_bytes: int,
        timeout_seconds: float,
        trusts_proxy: bool,
    ) -> None:
        self._request_ids = request_ids
        self._observer = observer
        self._bodies = BodyReader(max_body_bytes)
        self._deadlines = Deadlines()
        self._timeout_seconds = timeout_seconds
        self._trusts_proxy = trusts_proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; every failure becomes a problem document."""
        request_id = self._request_ids.take(scope["headers"])
        route = route_of(scope["raw_path"])
        exchange = self._observer.begin(scope, request_id, route=route)
        try:
            outcome = await self._outcome(scope, receive, exchange)
            self._observer.finish(exchange)
            if isinstance(outcome, Problem):
                await send_problem(send, outcome, request_id)
                return
            if LOST in scope and outcome.usage is not None:
                path: PredictionPath = scope["state"]["services"].prediction
                await path.recorder.mark_lost(outcome.usage)
            headers, body = _answer_headers(outcome, request_id), outcome.encoded.body
            connection: Connection | None = scope.get(CONNECTION)
            if connection is None or not connection.answer(scope, headers, body):
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                await send({"type": "http.response.body", "body": body})
        finally:
            self._observer.end()

    async def _outcome(
        self, scope: Scope, receive: Receive, exchange: Exchange
    ) -> Answer | Problem:
        """Find out what is answered, and note it.

        Threat: an error that a variable holds here, or on its way here, is in a cycle with its
        traceback and keeps the body until a collection: a few hundred refusals would fill the
        memory with bodies of 64 MB.
        """
        try:
            answer = await self._answer(scope, receive, exchange)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - the ASGI boundary: nothing may escape it
            attempts = scope["state"]["services"].attempts
            problem = noted_problem(attempts.judge(scope, error), exchange.request_id)
            exchange.refused(problem.status, problem.code)
            return problem
        exchange.answered(answer)
        return answer

    async def _answer(self, scope: Scope, receive: Receive, exchange: Exchange) -> Answer:
        headers: Headers = scope["headers"]
        path: PredictionPath = scope["state"]["services"].prediction
        credential = extract_credential(headers, scope["query_string"])
        source = partial(source_of, scope, trusts_proxy=self._trusts_proxy)
        principal = await path.authenticate(credential, source)
        revision = path.revision
        if scope["method"] != "POST":
            raise MethodNotAllowed("POST")
        exchange.principal = principal
        target = read_target(scope["raw_path"])
        seconds = read_timeout(headers, self._timeout_seconds)
        exchange.model = model = path.resolve(
            principal, target.name, target.selection, request_id=exchange.request_id
        )
        now = asyncio.get_running_loop().time()
        watch = scope[WATCH] = Watch(self._deadlines, now=now, deadline=now + seconds)
        try:
            call = Call(
                exchange.request_id,
                credential,
                source,
                principal,
                revision,
                model,
                choose_codec(target.operation, headers),
                watch.deadline,
                watch.close,
                target.selection,
            )
            body = await self._bodies.read(scope, receive, target.operation)
            watch.body_read()
            exchange.bytes_in = len(body)
            answer = await _predict(scope, call, target, body=body)
        except asyncio.CancelledError:
            if watch.reason is None:
                raise
            _uncancel()
            raise watch.reason() from None
        finally:
            watch.close()
            path.leave(model)
        if target.operation == INFER and (coding := wanted_coding(headers)) is not None:
            answer.encoded = await compressed(answer.encoded, coding)
        return answer


async def _predict(scope: Scope, call: Call, target: Target, *, body: Body) -> Answer:
    """Run a prediction, or answer one with an idempotency key as before.

    The key stands for the model as it was asked for, the forms, and the body.
    """
    services, headers = scope["state"]["services"], scope["headers"]
    key = read_key(headers)
    if key is None:
        path: PredictionPath = services.prediction
        return await path.predict(call, body, bytes_in=len(body))
    version, label = target.selection.version or "", target.selection.label or ""
    form = (target.operation, target.name, version, label, form_of(target.operation, headers))
    asked = Asked(key, await digest_of(body, *form))
    idempotency: Idempotency = services.idempotency
    return await idempotency.predict(call, body, bytes_in=len(body), asked=asked)


def _uncancel() -> None:
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


def _answer_headers(answer: Answer, request_id: str) -> Headers:
    prediction = answer.prediction
    timing = b"admit;dur=%.3f, queue;dur=%.3f, compute;dur=%.3f, record;dur=%.3f" % (
        answer.admit_seconds * 1e3,
        prediction.queue_seconds * 1e3,
        prediction.compute_seconds * 1e3,
        answer.record_seconds * 1e3,
    )
    return [
        *answer.encoded.headers,
        (b"content-length", b"%d" % answer.encoded.size),
        (b"x-request-id", request_id.encode()),
        (b"server-timing", timing),
        (b"tollgate-units", b"%d" % answer.units),
        (b"tollgate-model-version", answer.model_version.encode()),
        *limit_headers(answer.policy, answer.grant.standing),
        *(replay_headers(answer) if answer.replay_of else ()),
        *receipt_headers(answer.receipt),
    ]
