"""Hold what an operator can choose about running models."""

from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, SecretStr

Provider: TypeAlias = Literal["cpu", "cuda", "openvino", "tensorrt"]


class InferenceSettings(BaseModel):
    """How much of the machine the models of one process may use."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    intra_op_threads: int = Field(default=1, ge=1, le=256)
    """Threads of ONNX Runtime inside one run; more help big models and harm small ones."""

    concurrent_runs: int = Field(default=1, ge=1, le=64)
    """Runs at the same time over all models; the size of the executor that runs them."""

    inline_run_microseconds: int = Field(default=200, ge=0, le=10_000)
    """Runs that are known to be quicker than this stay on the event loop; 0 keeps none there."""

    execution_providers: tuple[Provider, ...] = ("cpu",)
    """Where models run, in order of preference."""

    memory_arena: bool = True
    """Keep the memory of runs for the next ones."""

    engines: dict[str, SecretStr] = {}
    """Servers that models may be executed by, `HOST:PORT`, each with its API key or nothing."""

    allows_plaintext: bool = False
    """Reach engines on other machines without TLS."""
