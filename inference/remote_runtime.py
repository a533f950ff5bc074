"""Have a model executed by another server over the Open Inference Protocol.

That may be Triton, KServe, OpenVINO Model Server or another Tollgate.

Source: Open Inference Protocol 2, "GRPC"; gRPC, "Status codes and their use in gRPC".
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]

from inference.circuit_breaker import CircuitBreaker
from inference.engine_address import Engine
from inference.errors import EngineUnavailable, InputInvalid, ModelFailed, ModelRefused
from inference.protocol.open_inference_pb2 import (
    ModelConfig,
    ModelConfigRequest,
    ModelConfigResponse,
    ModelInferRequest,
    ModelInferResponse,
    ModelMetadataRequest,
    ModelMetadataResponse,
)
from inference.signature import VARIABLE, Signature, TensorSpec
from inference.tensor_bytes import tensor_from_bytes, tensor_to_bytes
from inference.tensors import DATATYPES, Tensors

logger = logging.getLogger(__name__)

_UNNAMED: Final = "remote"
"""What an engine is called that does not say what it is."""

_SERVICE: Final = "/inference.GRPCInferenceService/"
_OPTIONS: Final = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", 1024 * 1024 * 1024),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.use_local_subchannel_pool", 1),
)
_DESCRIBED_SECONDS: Final = 5.0
"""Longest wait for what an engine says of a model, which holds up the next version."""

_FIRST_PAUSE_SECONDS: Final = 0.1
_SAFE_TO_REPEAT: Final = grpc.StatusCode.UNAVAILABLE
_OF_THE_ENGINE: Final = frozenset(
    (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.CANCELLED,
    )
)
_PASSING: Final = frozenset(
    (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    )
)
"""What says of a model at most that it is not there yet."""

_OF_THE_INPUT: Final = frozenset((grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE))


class RemoteRuntime:
    """One model version of an engine, over one connection that is made anew when it breaks.

    Runs block the thread of `executor`, which belongs to this version alone: an engine that is slow
    holds up nobody else's model. gRPC needs no pool: calls share a connection.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        now: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Connect, and read what the model takes and gives; `pause` waits for seconds.

        Raises:
            ModelRefused: the engine does not answer, which may pass, does not have the model, or
                has one that is not served here.
        """
        self._engine = engine
        self._now = now
        self._pause = pause
        self._breaker = CircuitBreaker(now=now)
        self._channel = _connect(engine)
        self._infer = self._channel.unary_unary(f"{_SERVICE}ModelInfer", None, None)
        self._metadata = (("authorization", f"Bearer {engine.key}"),) if engine.key else ()
        self.executor = ThreadPoolExecutor(1, thread_name_prefix=f"engine-{engine.name}")
        try:
            told = self._read_metadata()
        except ModelRefused:
            self.close()
            raise
        config = self._read_config()
        self.signature = _signature(told)
        self.platform = told.platform or config.platform or _UNNAMED
        self.backend = config.backend or _UNNAMED
        self.max_batch_size = config.max_batch_size if config.max_batch_size > 0 else None
        """Rows of one run that the engine takes; None where it does not say."""

    def run(self, tensors: Tensors, /) -> Tensors:
        """Run the model once, blocking.

        Raises:
            InputInvalid: the engine cannot take values like these.
            EngineUnavailable: it is away, too slow or too busy, or does not let us in.
            ModelFailed: the model failed, or the answer is not one of this model.
        """
        closed = self._breaker.seconds_closed()
        if closed > 0:
            raise EngineUnavailable(math.ceil(closed), "it did not answer before")
        content = self._ask(self._request(tensors))
        try:
            return self._read_answer(ModelInferResponse.FromString(content))
        except (DecodeError, InputInvalid, ValueError) as error:
            raise ModelFailed(f"the engine's answer is none of this model: {error}") from None

    def close(self) -> None:
        """End the connection; a run that is on ends with it."""
        self._channel.close()
        self.executor.shutdown(wait=False)

    def _request(self, tensors: Tensors) -> bytes:
        request = ModelInferRequest(
            model_name=self._engine.name, model_version=self._engine.version
        )
        for spec in self.signature.inputs:
            tensor = tensors[spec.name]
            request.inputs.add(name=spec.name, datatype=spec.datatype, shape=tensor.shape)
            request.raw_input_contents.append(tensor_to_bytes(tensor))
        for spec in self.signature.outputs:
            request.outputs.add(name=spec.name)
        content: bytes = request.SerializeToString()
        return content

    def _ask(self, request: bytes) -> bytes:
        """Send a request; again where the engine was away, since a run changes nothing there.

        The pauses between grow, and none ends past the time that the run may take.
        """
        deadline = self._now() + self._engine.timeout_seconds
        pauses = _pauses(self._engine.retries)
        while True:
            timeout = max(deadline - self._now(), 0.0)
            try:
                answer: bytes = self._infer(request, timeout=timeout, metadata=self._metadata)
            except grpc.RpcError as error:
                seconds = next(pauses, math.inf)
                is_over = self._now() + seconds >= deadline
                if is_over or error.code() is not _SAFE_TO_REPEAT:
                    raise self._failure(error) from None
                self._pause(seconds)
                continue
            self._breaker.succeeded()
            return answer

    def _failure(self, error: Any) -> InputInvalid | EngineUnavailable | ModelFailed:  # noqa: ANN401 - grpc's own
        """Say what went wrong; the engine's words are for the log alone."""
        code, words = error.code(), f"{error.code().name}: {error.details()}"
        if code in _OF_THE_INPUT:
            self._breaker.succeeded()
            return InputInvalid("the model cannot take values of this shape or range")
        if code not in _OF_THE_ENGINE:
            self._breaker.succeeded()
            return ModelFailed(f"the engine failed: {words}")
        if code is not grpc.StatusCode.RESOURCE_EXHAUSTED:
            self._breaker.failed()
        return EngineUnavailable(_seconds_to_wait(error), words)

    def _read_answer(self, answer: ModelInferResponse) -> Tensors:
        """Read every output, of the datatype and size that was announced.

        Raises:
            InputInvalid, ValueError: it is not what was asked for.
        """
        if answer.model_version not in ("", self._engine.version):
            raise ValueError(f"it is of version {answer.model_version}")
        given = {output.name: position for position, output in enumerate(answer.outputs)}
        tensors: Tensors = {}
        for spec in self.signature.outputs:
            if spec.name not in given or given[spec.name] >= len(answer.raw_output_contents):
                raise ValueError(f"it has no raw output {spec.name}")
            output = answer.outputs[given[spec.name]]
            if output.datatype != spec.datatype or not _fits(output.shape, spec):
                raise ValueError(f"output {spec.name} is another than was announced")
            content = answer.raw_output_contents[given[spec.name]]
            tensors[spec.name] = tensor_from_bytes(content, spec.type, output.shape, name=spec.name)
        return tensors

    def _read_metadata(self) -> ModelMetadataResponse:
        """Ask the engine what the model takes and gives; a signature can be made of the answer."""
        engine = self._engine
        asked = ModelMetadataRequest(name=engine.name, version=engine.version)
        may_pass = False
        try:
            told: ModelMetadataResponse = ModelMetadataResponse.FromString(
                self._ask_about("ModelMetadata", asked)
            )
            _signature(told)
        except grpc.RpcError as error:
            reason = f"{error.code().name}: {error.details()}"
            may_pass = error.code() in _PASSING
        except (DecodeError, ValueError) as error:
            reason = str(error)
        else:
            return told
        reason = f"the engine at {engine.place}: {reason}"
        raise ModelRefused(engine.name, reason, may_pass=may_pass) from None

    def _read_config(self) -> ModelConfig:
        """Ask the engine how it runs the model, which is an extension of Triton's."""
        asked = ModelConfigRequest(name=self._engine.name, version=self._engine.version)
        try:
            content = self._ask_about("ModelConfig", asked)
            response: ModelConfigResponse = ModelConfigResponse.FromString(content)
        except (grpc.RpcError, DecodeError) as error:
            logger.info("the engine at %s does not say how it runs: %r", self._engine.place, error)
            return ModelConfig()
        return response.config

    def _ask_about(self, method: str, asked: Message) -> bytes:
        content: bytes = self._channel.unary_unary(f"{_SERVICE}{method}", None, None)(
            asked.SerializeToString(),
            timeout=min(self._engine.timeout_seconds, _DESCRIBED_SECONDS),
            metadata=self._metadata,
            wait_for_ready=True,
        )
        return content


def _pauses(retries: int) -> Iterator[float]:
    """Give the seconds before each retry: gRPC itself connects again after a tenth."""
    return (min(_FIRST_PAUSE_SECONDS * 2.0**number, 1.0) for number in range(retries))


def _connect(engine: Engine) -> grpc.Channel:
    if engine.is_secure:
        return grpc.secure_channel(engine.place, grpc.ssl_channel_credentials(), _OPTIONS)
    return grpc.insecure_channel(engine.place, _OPTIONS)


def _signature(told: ModelMetadataResponse) -> Signature:
    if not told.inputs or not told.outputs:
        raise ValueError("a model needs at least one input and one output")
    inputs, outputs = _specs(told.inputs), _specs(told.outputs)
    is_batchable = all(spec.shape[:1] == (VARIABLE,) for spec in (*inputs, *outputs))
    return Signature(inputs, outputs, is_batchable=is_batchable)


def _specs(described: Sequence[Any]) -> tuple[TensorSpec, ...]:
    for tensor in described:
        if tensor.datatype not in DATATYPES:
            raise ValueError(f"{tensor.name} is {tensor.datatype}, which is not served")
    return tuple(
        TensorSpec(
            tensor.name, tensor.datatype, tuple(max(size, VARIABLE) for size in tensor.shape)
        )
        for tensor in described
    )


def _fits(shape: Sequence[int], spec: TensorSpec) -> bool:
    """Say whether a shape is of those that were announced."""
    return len(shape) == len(spec.shape) and all(
        size >= 0 and wanted in (VARIABLE, size)
        for size, wanted in zip(shape, spec.shape, strict=True)
    )


def _seconds_to_wait(error: Any) -> int:  # noqa: ANN401 - grpc's own
    """Read when the engine wants to be asked again; a second where it does not say."""
    for name, value in error.trailing_metadata() or ():
        if name == "retry-after" and isinstance(value, str) and value.isdigit():
            return max(1, min(int(value), 3600))
    return 1
