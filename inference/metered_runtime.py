"""Measure how long an engine works for nobody's request, as at the warm-up."""

from time import perf_counter_ns

from inference.runtime import Runtime
from inference.signature import Signature
from inference.tensors import Tensors


class MeteredRuntime:
    """Another runtime, with a clock that runs while it does. Used from one thread."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._busy_ns = 0

    @property
    def busy_us(self) -> int:
        """Say how long all runs took, in microseconds."""
        return self._busy_ns // 1000

    @property
    def signature(self) -> Signature:
        """Tell what the model takes and gives."""
        return self._runtime.signature

    def run(self, tensors: Tensors, /) -> Tensors:
        """Run the model once; raises as the runtime does."""
        began = perf_counter_ns()
        try:
            return self._runtime.run(tensors)
        finally:
            self._busy_ns += perf_counter_ns() - began

    def close(self) -> None:
        """Give back what the engine holds."""
        self._runtime.close()
