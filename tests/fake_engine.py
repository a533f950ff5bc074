"""An engine of the Open Inference Protocol that answers, or fails, as a test tells it."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np

from inference.protocol.open_inference_pb2 import (
    ModelConfig,
    ModelConfigResponse,
    ModelInferRequest,
    ModelInferResponse,
    ModelMetadataRequest,
    ModelMetadataResponse,
)

SERVICE = "inference.GRPCInferenceService"
Answer = Callable[[ModelInferRequest], ModelInferResponse]


def doubled(request: ModelInferRequest) -> ModelInferResponse:
    """Answer y = 2 x, of FP32."""
    values = np.frombuffer(request.raw_input_contents[0], np.float32) * 2
    answer = ModelInferResponse(model_name=request.model_name, model_version=request.model_version)
    answer.outputs.add(name="y", datatype="FP32", shape=request.inputs[0].shape)
    answer.raw_output_contents.append(values.tobytes())
    return answer


@dataclass
class FakeEngine:
    """What the engine says of its model and how it answers; what it was asked."""

    datatype: str = "FP32"
    datatypes: dict[str, str] = field(default_factory=dict)
    """Of versions that take another, by number."""

    answer: Answer = doubled
    platform: str = ""
    config: ModelConfig | None = None
    """How it runs the model; None where it has no such extension."""

    has_model: bool = True
    refusals: list[grpc.StatusCode] = field(default_factory=list)
    """Statuses of the next calls, before it answers."""

    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """Model, version and credential of each call."""

    place: str = ""

    def metadata(self, content: bytes, context: Any) -> bytes:  # noqa: ANN401 - grpc's own
        """Describe the model."""
        if not self.has_model:
            context.abort(grpc.StatusCode.UNAVAILABLE, "it is being loaded")
        asked = ModelMetadataRequest.FromString(content)
        told = ModelMetadataResponse(
            name=asked.name, versions=[asked.version], platform=self.platform
        )
        datatype = self.datatypes.get(asked.version, self.datatype)
        told.inputs.add(name="x", datatype=datatype, shape=[-1])
        told.outputs.add(name="y", datatype="FP32", shape=[-1])
        written: bytes = told.SerializeToString()
        return written

    def configuration(self, _content: bytes, context: Any) -> bytes:  # noqa: ANN401 - the same
        """Say how it runs the model."""
        if self.config is None:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "no such method")
        written: bytes = ModelConfigResponse(config=self.config).SerializeToString()
        return written

    def infer(self, content: bytes, context: Any) -> bytes:  # noqa: ANN401 - the same
        """Answer, or refuse as told."""
        request = ModelInferRequest.FromString(content)
        credential = dict(context.invocation_metadata()).get("authorization", "")
        self.asked.append((request.model_name, request.model_version, credential))
        if self.refusals:
            context.set_trailing_metadata((("retry-after", "7"),))
            context.abort(self.refusals.pop(0), "as the test said")
        written: bytes = self.answer(request).SerializeToString()
        return written


@contextlib.contextmanager
def running_engine(engine: FakeEngine) -> Iterator[FakeEngine]:
    """Serve on a free port for the length of a block."""
    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads)
        methods = {
            "ModelMetadata": grpc.unary_unary_rpc_method_handler(engine.metadata),
            "ModelConfig": grpc.unary_unary_rpc_method_handler(engine.configuration),
            "ModelInfer": grpc.unary_unary_rpc_method_handler(engine.infer),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
        engine.place = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield engine
        finally:
            server.stop(0).wait()
