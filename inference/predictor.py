"""Answer predictions: one batcher for each model version."""

import math
from collections.abc import Coroutine
from concurrent.futures import Executor
from typing import Any

from inference.batch_queue import QueueLimits
from inference.batcher import Batcher, Prediction
from inference.registry import ModelVersion, Registry
from inference.tensors import Tensors
from inference.tracks import BackExecutors


class Predictor:
    """Run the models of a registry for concurrent callers on one event loop."""

    def __init__(
        self, registry: Registry, executor: Executor, back_executors: BackExecutors | None = None
    ) -> None:
        """Run in `executor`, and what floods in `back_executors`, if there are any."""
        self._executor = executor
        self._back_executors = back_executors
        self._batchers: dict[ModelVersion, Batcher] = {}
        for model in registry.models():
            self.add(model)

    def add(self, model_version: ModelVersion) -> None:
        """Take up a version, before the first request for it.

        One whose every run is quicker than a thread takes its turn needs no second track.
        """
        is_quick = 1 < model_version.max_batch_size <= model_version.quick_rows
        has_one_track = is_quick or model_version.executor is not None
        self._batchers[model_version] = Batcher(
            model_version.runtime,
            executor=model_version.executor or self._executor,
            back_executors=None if has_one_track else self._back_executors,
            limits=QueueLimits(
                max_batch_size=model_version.max_batch_size,
                max_queue_rows=model_version.max_queue_rows,
                max_lane_rows=model_version.max_lane_rows,
                max_delay_seconds=model_version.max_delay_seconds,
                quick_rows=model_version.quick_rows,
            ),
            run_seconds=model_version.run_seconds,
            warm_up_us=model_version.warm_up_us,
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
        weight: int = 1,
    ) -> Coroutine[Any, Any, Prediction]:
        """Give a prediction to await; raises as `Batcher.predict`."""
        batcher = self._batchers[model_version]
        return batcher.predict(tensors, rows=rows, lane=lane, deadline=deadline, weight=weight)

    def check_room(
        self,
        model_version: ModelVersion,
        *,
        rows: int,
        lane: str,
        deadline: float = math.inf,
        weight: int = 1,
    ) -> None:
        """Refuse now what would be refused later; raises as `Batcher.check_room`."""
        batcher = self._batchers[model_version]
        batcher.check_room(rows=rows, lane=lane, deadline=deadline, weight=weight)

    def batcher_of(self, model_version: ModelVersion) -> Batcher:
        """Find the batcher, which counts runs, rows and failures."""
        return self._batchers[model_version]

    def close(self) -> None:
        """Refuse what still waits, then close the runtimes; a run that is on finishes."""
        for model, batcher in self._batchers.items():
            batcher.close()
            model.runtime.close()
