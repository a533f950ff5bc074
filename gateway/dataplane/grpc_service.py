"""The methods of `inference.GRPCInferenceService`, each with who may call it.

They say what the same operations say over HTTP, in the protocol's messages, which have the same
members. What is not here answers UNIMPLEMENTED. Source: Open Inference Protocol 2, "GRPC"; Triton,
the extensions "Model Configuration", "Statistics" and "Model Repository".
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

import grpc
from google.protobuf.json_format import ParseDict  # type: ignore[import-untyped]
from pydantic import BaseModel

from auth.actor import Actor, acting_principal
from auth.principal import Principal
from auth.scopes import MODELS_READ, MODELS_WRITE, PREDICT
from gateway.dataplane.grpc_call import GrpcCall, parse
from gateway.dataplane.grpc_door import SERVICE, GrpcDoor, Reply, Work
from gateway.dataplane.paths import read_names
from gateway.errors import RequestInvalid
from gateway.observability.exchange import Exchange
from gateway.oip_documents import (
    ServerDocument,
    config_document,
    index_entry,
    model_document,
    statistics_document,
)
from gateway.services import Services
from inference.errors import ModelNotFound, ModelNotReady
from inference.protocol import open_inference_pb2 as protocol
from inference.registry import ModelVersion
from inference.routing import Selection

UNSERVED_CHANGES: Final = ("config", "file:")
"""Parameters that would bring a configuration or files along."""


class Change(Protocol):
    """Change what is served of a model."""

    def __call__(self, name: str, /, *, actor: Actor) -> Awaitable[None]:
        """Do it, and wait until it is done."""


Describe = Callable[[Any, Principal], Mapping[str, Any]]
"""A request's message and its caller to the members of the answer's."""


class GrpcService:
    """Hand each method its work."""

    def __init__(self, services: Services, door: GrpcDoor) -> None:
        self._services = services
        self._registry = services.registry
        self._door = door
        self.is_ending = False
        """Set when the worker takes no more calls."""

    def handler(self) -> "grpc.GenericRpcHandler[bytes, bytes]":
        """Return what the server looks methods up in."""
        p, publisher = protocol, self._services.publisher
        works = {
            "ModelInfer": self._door.infer,
            "ServerLive": self._public(p.ServerLiveResponse, lambda: {"live": True}),
            "ServerReady": self._public(p.ServerReadyResponse, lambda: {"ready": self.is_ready()}),
            "ServerMetadata": self._readers("ServerMetadata", self._server_metadata),
            "ModelReady": self._readers("ModelReady", self._model_ready),
            "ModelMetadata": self._readers("ModelMetadata", self._model_metadata),
            "ModelConfig": self._readers("ModelConfig", self._model_config),
            "ModelStatistics": self._readers("ModelStatistics", self._model_statistics),
            "RepositoryIndex": self._readers("RepositoryIndex", self._repository_index),
            "RepositoryModelLoad": self._writers(p.RepositoryModelLoadRequest, publisher.load),
            "RepositoryModelUnload": self._writers(
                p.RepositoryModelUnloadRequest, publisher.unload
            ),
        }
        methods = {name: self._door.method(name, work) for name, work in works.items()}
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    def is_ready(self) -> bool:
        """Say whether predictions can be served."""
        return not self.is_ending and not self._services.not_ready_reasons()

    def _public(self, kind: type[Any], describe: Callable[[], Mapping[str, Any]]) -> Work:
        """Make the work of a method that says the same to everybody."""

        async def work(_call: GrpcCall, _exchange: Exchange) -> Reply:
            return _reply(kind, describe())

        return work

    def _readers(self, method: str, describe: Describe) -> Work:
        """Make the work of a method for whoever may predict or read models."""
        request_kind: type[Any] = getattr(protocol, f"{method}Request")
        answer_kind: type[Any] = getattr(protocol, f"{method}Response")

        async def work(call: GrpcCall, exchange: Exchange) -> Reply:
            caller = await self._door.authorize(call, exchange, MODELS_READ, PREDICT)
            content = await call.read()
            exchange.bytes_in = len(content)
            request = parse(request_kind, content)
            return _reply(answer_kind, describe(request, caller))

        return work

    def _writers(self, kind: type[Any], change: Change) -> Work:
        """Make the work of a method that changes what is served; its answer says nothing more."""

        async def work(call: GrpcCall, exchange: Exchange) -> Reply:
            caller = await self._door.authorize(call, exchange, MODELS_WRITE)
            content = await call.read()
            exchange.bytes_in = len(content)
            request = parse(kind, content)
            name, _ = read_names(request.model_name, "")
            if not caller.may_use(name):
                raise ModelNotFound(name)
            if any(given.startswith(UNSERVED_CHANGES) for given in request.parameters):
                raise RequestInvalid("a model is loaded as it lies in the repository")
            await change(name, actor=acting_principal(caller, request_id=exchange.request_id))
            return Reply(b"")

        return work

    def _server_metadata(self, _request: object, _caller: Principal) -> Mapping[str, Any]:
        extensions = [name for name in ServerDocument().extensions if name not in _HTTP_ALONE]
        return _members(ServerDocument(extensions=extensions))

    def _model_ready(
        self, request: protocol.ModelReadyRequest, caller: Principal
    ) -> Mapping[str, Any]:
        try:
            self._resolved(request, caller)
        except ModelNotReady:
            return {"ready": False}
        return {"ready": True}

    def _model_metadata(
        self, request: protocol.ModelMetadataRequest, caller: Principal
    ) -> Mapping[str, Any]:
        return _members(model_document(self._resolved(request, caller), self._registry))

    def _model_config(
        self, request: protocol.ModelConfigRequest, caller: Principal
    ) -> Mapping[str, Any]:
        return {"config": _members(config_document(self._resolved(request, caller)))}

    def _model_statistics(
        self, request: protocol.ModelStatisticsRequest, caller: Principal
    ) -> Mapping[str, Any]:
        """Tell what one version did in this worker, all of a model's, or all of all models."""
        models = [model for model in self._registry.models() if caller.may_use(model.name)]
        if request.name:
            model = self._resolved(request, caller)
            models = [model] if request.version else _same_name(models, model)
        batcher_of = self._services.predictor.batcher_of
        return {
            "model_stats": [
                _members(statistics_document(model, batcher_of(model).statistics))
                for model in models
            ]
        }

    def _repository_index(
        self, request: protocol.RepositoryIndexRequest, caller: Principal
    ) -> Mapping[str, Any]:
        return {
            "models": [
                _members(index_entry(status))
                for status in self._registry.statuses()
                if caller.may_use(status.name) and (status.is_ready or not request.ready)
            ]
        }

    def _resolved(self, request: Any, caller: Principal) -> ModelVersion:  # noqa: ANN401 - several messages
        """Find the version that is meant; one that is not granted looks like none.

        Raises:
            ModelNameInvalid: no model can have this name.
            ModelNotFound: there is none, or it is not granted.
            ModelNotReady: it did not load.
        """
        name, selection = read_names(request.name, request.version)
        if not caller.may_use(name):
            raise ModelNotFound(name, selection.version)
        return self._registry.resolve(name, Selection(version=selection.version))


_HTTP_ALONE: Final = frozenset({"binary_tensor_data"})
"""Extensions that gRPC needs none of."""


def _same_name(models: list[ModelVersion], model: ModelVersion) -> list[ModelVersion]:
    return [other for other in models if other.name == model.name]


def _members(document: BaseModel) -> dict[str, Any]:
    return document.model_dump()


def _reply(kind: type[Any], members: Mapping[str, Any]) -> Reply:
    """Write an answer's message; a document's members are those of the message."""
    return Reply(ParseDict(dict(members), kind()).SerializeToString())
