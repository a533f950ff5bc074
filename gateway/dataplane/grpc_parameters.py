"""Read the parameters of a gRPC request.

Source: Triton, "Schedule Policy Extension", "Classification Extension" and "Shared-Memory
Extension".
"""

from collections.abc import Mapping
from typing import Final

from gateway.dataplane.oip_request import UNSERVED
from gateway.errors import RequestInvalid
from inference.protocol.open_inference_pb2 import InferParameter, ModelInferRequest

_TIMEOUT: Final = "timeout"
_MICROSECONDS: Final = 1_000_000
_INTEGERS: Final = ("int64_param", "uint64_param")
_CLASSES: Final = "classification"


def read_timeout(parameters: Mapping[str, InferParameter]) -> float | None:
    """Return how long the caller says that it waits, in seconds; None or 0 µs is no word of it.

    Raises:
        RequestInvalid: it is no whole number of microseconds.
    """
    if _TIMEOUT not in parameters:
        return None
    value = _whole(parameters[_TIMEOUT], "timeout must be a whole number of microseconds")
    return value / _MICROSECONDS if value else None


def read_classes(output: ModelInferRequest.InferRequestedOutputTensor) -> int:
    """Return how many of the highest classes are wanted instead of the tensor; 0 is the tensor.

    Raises:
        RequestInvalid: it is no whole number.
    """
    if _CLASSES not in output.parameters:
        return 0
    return _whole(output.parameters[_CLASSES], "classification must be a whole number")


def refuse_unserved(parameters: Mapping[str, InferParameter]) -> None:
    """Pass if no parameter would change the answer that is not served here.

    Raises:
        RequestInvalid: a sequence of requests, or memory that caller and server would share.
    """
    for name in UNSERVED:
        if name in parameters:
            kind = parameters[name].WhichOneof("parameter_choice")
            if kind is not None and getattr(parameters[name], kind):
                raise RequestInvalid(f"the parameter {name} is not served")


def _whole(parameter: InferParameter, message: str) -> int:
    kind = parameter.WhichOneof("parameter_choice")
    value: int = getattr(parameter, kind) if kind in _INTEGERS else -1
    if value < 0:
        raise RequestInvalid(message)
    return value
