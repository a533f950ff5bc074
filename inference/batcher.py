"""Let everyone who waits for one model version share its next run."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from inference.runtime import Runtime
from inference.tensors import Tensors


@dataclass(frozen=True, slots=True)
class Prediction:
    """One request's own rows of every output, and what they took."""

    outputs: Tensors
    queue_seconds: float
    compute_seconds: float
    batch_rows: int


class Batcher:
    """Run one model version for many callers. Used from one event loop only."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        executor: Executor,
        max_batch_size: int = 64,
        max_queue_rows: int = 4096,
        clock: Callable[[], float] | None = None,
    ) -> None:
        raise NotImplementedError

    async def predict(
        self, tensors: Tensors, *, rows: int, lane: str, deadline: float
    ) -> Prediction:
        """Wait for the own rows' share of a run."""
        raise NotImplementedError
