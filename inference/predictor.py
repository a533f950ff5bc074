"""Answer predictions: one batcher for each model version."""

from collections.abc import Coroutine
from concurrent.futures import Executor
from typing import Any

from inference.batcher import Batcher, Prediction
from inference.registry import ModelVersion, Registry
from inference.tensors import Tensors


class Predictor:
    """Run the models of a registry for concurrent callers on one event loop."""

    def __init__(self, registry: Registry, executor: Executor) -> None:
        self._executor = executor
        self._batchers: dict[ModelVersion, Batcher] = {}
        for model in registry.models():
            self.add(model)

    def add(self, model_version: ModelVersion) -> None:
        """Take up a version, before the first request for it."""
        self._batchers[model_version] = Batcher(
            model_version.runtime,
            executor=self._executor,
            max_batch_size=model_version.max_batch_size,
            max_queue_rows=model_version.max_queue_rows,
            quick_rows=model_version.quick_rows,
            name=model_version.name,
        )

    def remove(self, model_version: ModelVersion) -> None:
        """Give up a version that nobody holds, and refuse whatever waits for it."""
        self._batchers.pop(model_version).close()

    def predict(
        self,
        model_version: ModelVersion,
        tensors: Tensors,
        *,
        rows: int,
        lane: str,
        deadline: float,
    ) -> Coroutine[Any, Any, Prediction]:
        """Give a prediction to await; raises as `Batcher.predict`."""
        batcher = self._batchers[model_version]
        return batcher.predict(tensors, rows=rows, lane=lane, deadline=deadline)

    def check_room(self, model_version: ModelVersion, *, rows: int, lane: str) -> None:
        """Refuse what the queue has no room for now; raises as `Batcher.check_room`."""
        self._batchers[model_version].check_room(rows=rows, lane=lane)

    def batcher_of(self, model_version: ModelVersion) -> Batcher:
        """Find the batcher, which counts runs, rows and failures."""
        return self._batchers[model_version]

    def close(self) -> None:
        """Refuse what still waits, then close the runtimes; a run that is on finishes."""
        for model, batcher in self._batchers.items():
            batcher.close()
            model.runtime.close()
