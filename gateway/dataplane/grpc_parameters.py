"""Read the parameters of a gRPC request.

Source: Triton, "Schedule policy extension" and "Shared-memory extension".
"""

from collections.abc import Mapping
from typing import Final

from gateway.errors import RequestInvalid
from inference.protocol.open_inference_pb2 import InferParameter

_TIMEOUT: Final = "timeout"
_MICROSECONDS: Final = 1_000_000
_INTEGERS: Final = ("int64_param", "uint64_param")
_SHARED_MEMORY: Final = "shared_memory_"


def read_timeout(parameters: Mapping[str, InferParameter]) -> float | None:
    """Return how long the caller says that it waits, in seconds; None or 0 µs is no word of it.

    Raises:
        RequestInvalid: it is no whole number of microseconds.
    """
    if _TIMEOUT not in parameters:
        return None
    parameter = parameters[_TIMEOUT]
    kind = parameter.WhichOneof("parameter_choice")
    value = getattr(parameter, kind) if kind in _INTEGERS else -1
    if value < 0:
        raise RequestInvalid("timeout must be a whole number of microseconds")
    return value / _MICROSECONDS if value else None


def check_parameters(parameters: Mapping[str, InferParameter]) -> None:
    """Pass if a tensor's elements are in the messages themselves.

    Raises:
        RequestInvalid: they are in memory that caller and server would share.
    """
    if any(name.startswith(_SHARED_MEMORY) for name in parameters):
        raise RequestInvalid("tensors in shared memory are not served")
