"""The floor of the Open Inference Protocol over gRPC: any model behind grpc.aio with no gate.

As the bare apps over HTTP: raw contents become views, and the model runs on the event loop.
"""

import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import uvloop

from benchmarks.bare_app import open_session
from benchmarks.bare_oip_app import MODEL_VARIABLE
from benchmarks.oip_messages import GRPC_SERVICE, tensor_from_bytes
from inference.protocol.open_inference_pb2 import ModelInferRequest, ModelInferResponse

_MAX_BYTES = 64 * 1024 * 1024

Infer = Callable[[Any, Any], Awaitable[ModelInferResponse]]


async def main(port: int) -> None:
    """Serve the model file that the environment names until the process is ended."""
    server = grpc.aio.server(options=(("grpc.max_receive_message_length", _MAX_BYTES),))
    handler = grpc.unary_unary_rpc_method_handler(
        _infer(Path(os.environ[MODEL_VARIABLE])),
        request_deserializer=ModelInferRequest.FromString,
        response_serializer=ModelInferResponse.SerializeToString,
    )
    handlers = grpc.method_handlers_generic_handler(GRPC_SERVICE, {"ModelInfer": handler})
    server.add_generic_rpc_handlers((handlers,))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


def _infer(model: Path) -> Infer:
    session = open_session(model)
    run, output = session.run, session.get_outputs()[0].name

    async def infer(request: ModelInferRequest, _context: object) -> ModelInferResponse:
        tensors = {
            given.name: tensor_from_bytes(content, given.datatype, given.shape)
            for given, content in zip(request.inputs, request.raw_input_contents, strict=True)
        }
        values = run(None, tensors)[0]
        answer = ModelInferResponse(model_name=request.model_name)
        answer.outputs.add(name=output, datatype="FP32", shape=values.shape)
        answer.raw_output_contents.append(values.tobytes())
        return answer

    return infer


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
