"""Run the gRPC server over the services of an app in this process, and call it."""

import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np

from gateway.grpc_server import GrpcServer
from gateway.observability.observer import RequestObserver
from gateway.services import Services
from inference.protocol.open_inference_pb2 import ModelInferRequest, ModelInferResponse
from inference.tensors import Tensor

SERVICE = "inference.GRPCInferenceService"
Metadata = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Told:
    """What a caller is told: the code by its name, a sentence, a message and the metadata."""

    code: str
    details: str
    content: bytes
    metadata: dict[str, str]

    @property
    def answer(self) -> ModelInferResponse:
        """Read the answer of a prediction."""
        answer: ModelInferResponse = ModelInferResponse.FromString(self.content)
        return answer


@dataclass(frozen=True)
class GrpcCaller:
    """A connection; its calls are those of any client, with the bytes of messages in hand."""

    channel: grpc.aio.Channel

    async def call(
        self,
        method: str,
        message: Any = b"",  # noqa: ANN401 - generated classes
        *,
        key: str = "",
        **options: Any,  # noqa: ANN401 - those of gRPC
    ) -> Told:
        """Call a method of the service, or one that is named in full."""
        path = method if method.startswith("/") else f"/{SERVICE}/{method}"
        content = message if isinstance(message, bytes) else message.SerializeToString()
        metadata = [*options.pop("metadata", ())]
        metadata += [("authorization", f"Bearer {key}")] if key else []
        call = self.channel.unary_unary(path, None, None)(content, metadata=metadata, **options)
        try:
            answered: bytes = await call
        except grpc.aio.AioRpcError as error:
            return Told(
                error.code().name, error.details() or "", b"", _plain(error.trailing_metadata())
            )
        return Told("OK", "", answered, _plain(await call.trailing_metadata()))

    async def infer(self, model: str, *, key: str, **tensors: Tensor) -> Told:
        """Ask for a prediction with raw tensors, FP32 and FP64 alone."""
        return await self.call("ModelInfer", infer_request(model, **tensors), key=key)


def infer_request(model: str, **tensors: Tensor) -> ModelInferRequest:
    """Build a request with raw contents, of FP32 and FP64."""
    names = {np.dtype(np.float32): "FP32", np.dtype(np.float64): "FP64"}
    return ModelInferRequest(
        model_name=model,
        inputs=[
            ModelInferRequest.InferInputTensor(
                name=name, datatype=names[tensor.dtype], shape=tensor.shape
            )
            for name, tensor in tensors.items()
        ],
        raw_input_contents=[tensor.tobytes() for tensor in tensors.values()],
    )


def first_output(told: Told) -> Tensor:
    """Read the first output of an answer."""
    answer = told.answer
    content = answer.raw_output_contents[0]
    return np.frombuffer(content, np.float32).reshape(answer.outputs[0].shape)


@contextlib.asynccontextmanager
async def running_grpc(
    services: Services, *, observer: RequestObserver | None = None
) -> AsyncIterator[GrpcServer]:
    """Serve on the port, or the socket, that the settings name."""
    server = GrpcServer(services.settings, observer or RequestObserver())
    await server.start(services)
    try:
        yield server
    finally:
        await server.stop(0.0)


@contextlib.asynccontextmanager
async def grpc_caller(
    target: str, *, authority: bytes | None = None, own_connection: bool = False
) -> AsyncIterator[GrpcCaller]:
    """Connect; over TLS where there is an authority to trust."""
    options = [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
        ("grpc.use_local_subchannel_pool", int(own_connection)),
    ]
    if authority is None:
        channel = grpc.aio.insecure_channel(target, options=options)
    else:
        trusted = grpc.ssl_channel_credentials(authority)
        channel = grpc.aio.secure_channel(target, trusted, options=options)
    async with channel:
        yield GrpcCaller(channel)


def _plain(metadata: Iterable[Any] | None) -> dict[str, str]:
    return {str(name): str(value) for name, value in metadata or ()}
