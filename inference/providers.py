"""Name where models can run, in short and as ONNX Runtime does.

Source: ONNX Runtime, "Execution Providers".
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from inference.onnx_engine import ort
from inference.settings import Provider

_FULL_NAMES: Mapping[Provider, str] = MappingProxyType(
    {
        "cpu": "CPUExecutionProvider",
        "cuda": "CUDAExecutionProvider",
        "openvino": "OpenVINOExecutionProvider",
        "tensorrt": "TensorrtExecutionProvider",
    }
)


def full_names(providers: Sequence[Provider]) -> list[str]:
    """Name providers as ONNX Runtime does, the processor always last: it has every operator."""
    names = [_FULL_NAMES[provider] for provider in providers if provider != "cpu"]
    return [*names, _FULL_NAMES["cpu"]]


def missing_providers(providers: Sequence[Provider]) -> list[Provider]:
    """List those that this build of ONNX Runtime does not have."""
    available = ort.get_available_providers()
    return [provider for provider in providers if _FULL_NAMES[provider] not in available]
