"""The methods of `inference.GRPCInferenceService`, each with who may call it.

What is not here answers UNIMPLEMENTED. Source: Open Inference Protocol 2, "GRPC".
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import grpc

from auth.principal import Principal
from auth.scopes import MODELS_READ, PREDICT
from gateway.dataplane import grpc_documents as documents
from gateway.dataplane.grpc_call import GrpcCall, parse
from gateway.dataplane.grpc_door import SERVICE, GrpcDoor, Reply, Work
from gateway.dataplane.paths import read_names
from gateway.observability.exchange import Exchange
from gateway.services import Services
from inference.errors import ModelNotFound
from inference.protocol import open_inference_pb2 as protocol
from inference.routing import Selection

Describe = Callable[[Any, Principal], Any]
"""A request's message and its caller to the answer's message."""

PUBLIC: Final = ("ServerLive", "ServerReady", "ServerMetadata")
"""The methods without a caller."""


class GrpcService:
    """Hand each method its work."""

    def __init__(self, services: Services, door: GrpcDoor) -> None:
        self._services = services
        self._registry = services.registry
        self._door = door
        self._max_bytes = services.settings.max_body_bytes
        self.is_ending = False
        """Set when the worker takes no more calls."""

    def handler(self) -> "grpc.GenericRpcHandler[bytes, bytes]":
        """Return what the server looks methods up in."""
        methods = {name: self._door.method(name, work) for name, work in self._works().items()}
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    def is_ready(self) -> bool:
        """Say whether predictions can be served."""
        return not self.is_ending and not self._services.not_ready_reasons()

    def _works(self) -> Mapping[str, Work]:
        p = protocol
        return {
            "ModelInfer": self._door.infer,
            "ServerLive": self._public(lambda: p.ServerLiveResponse(live=True)),
            "ServerReady": self._public(lambda: p.ServerReadyResponse(ready=self.is_ready())),
            "ServerMetadata": self._public(documents.server_metadata),
            "ModelReady": self._readers(p.ModelReadyRequest, self._model_ready),
            "ModelMetadata": self._readers(p.ModelMetadataRequest, self._model_metadata),
            "ModelConfig": self._readers(p.ModelConfigRequest, self._model_config),
            "RepositoryIndex": self._readers(p.RepositoryIndexRequest, self._repository_index),
        }

    def _public(self, describe: Callable[[], Any]) -> Work:
        """Make the work of a method that says the same to everybody."""

        async def work(_call: GrpcCall, _exchange: Exchange) -> Reply:
            return Reply(describe().SerializeToString())

        return work

    def _readers(self, kind: type[Any], describe: Describe) -> Work:
        """Make the work of a method for whoever may predict or read models."""

        async def work(call: GrpcCall, exchange: Exchange) -> Reply:
            caller = await self._door.authorize(call, exchange, MODELS_READ, PREDICT)
            content = await call.read()
            exchange.bytes_in = len(content)
            request = parse(kind, content, max_bytes=self._max_bytes)
            return Reply(describe(request, caller).SerializeToString())

        return work

    def _model_ready(
        self, request: protocol.ModelReadyRequest, caller: Principal
    ) -> protocol.ModelReadyResponse:
        name, selection = _granted(request, caller)
        ready = documents.is_model_ready(self._registry, name, selection)
        return protocol.ModelReadyResponse(ready=ready)

    def _model_metadata(
        self, request: protocol.ModelMetadataRequest, caller: Principal
    ) -> protocol.ModelMetadataResponse:
        model = self._registry.resolve(*_granted(request, caller))
        return documents.model_metadata(self._registry, model)

    def _model_config(
        self, request: protocol.ModelConfigRequest, caller: Principal
    ) -> protocol.ModelConfigResponse:
        return documents.model_config(self._registry.resolve(*_granted(request, caller)))

    def _repository_index(
        self, request: protocol.RepositoryIndexRequest, caller: Principal
    ) -> protocol.RepositoryIndexResponse:
        return documents.repository_index(self._registry, caller.models, ready_only=request.ready)


def _granted(request: Any, caller: Principal) -> tuple[str, Selection]:  # noqa: ANN401 - several messages
    """Read which model is meant; one that is not granted looks like none.

    Raises:
        ModelNameInvalid: it names none.
        ModelNotFound: it is not granted.
    """
    name, selection = read_names(request.name, request.version)
    if not caller.may_use(name):
        raise ModelNotFound(name, selection.version)
    return name, selection
