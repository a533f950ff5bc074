"""Answer predictions: one batcher for each model version."""

from collections.abc import Awaitable
from concurrent.futures import Executor

from inference.batcher import Prediction
from inference.registry import ModelVersion, Registry
from inference.tensors import Tensors


class Predictor:
    """Run the models of a registry for concurrent callers on one event loop."""

    def __init__(self, registry: Registry, executor: Executor) -> None:
        raise NotImplementedError

    def predict(
        self,
        model_version: ModelVersion,
        tensors: Tensors,
        *,
        rows: int,
        lane: str,
        deadline: float,
    ) -> Awaitable[Prediction]:
        """Give a prediction to await."""
        raise NotImplementedError

    def close(self) -> None:
        """Refuse what still waits and close the runtimes."""
        raise NotImplementedError
