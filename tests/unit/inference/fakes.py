"""Stand-ins for an engine and a thread, which tests drive step by step."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np

from inference.batcher import Batcher, Prediction
from inference.signature import Signature, TensorSpec
from inference.tensors import Tensors

POISON = -1.0
FAR = 1e18


def doubling_signature(*, is_batchable: bool = True) -> Signature:
    """Describe the fake: x and y of shape [rows, any]."""
    return Signature(
        (TensorSpec("x", "FP32", (-1, -1)),), (TensorSpec("y", "FP32", (-1, -1)),), is_batchable
    )


class DoublingRuntime:
    """Answer twice the input, fail on POISON anywhere, and remember what was run."""

    def __init__(self, *, is_batchable: bool = True) -> None:
        self.signature = doubling_signature(is_batchable=is_batchable)
        self.batches: list[Tensors] = []
        self.is_closed = False

    @property
    def rows_of_runs(self) -> list[int]:
        """Count the rows of each run so far."""
        return [len(batch["x"]) for batch in self.batches]

    def run(self, tensors: Tensors, /) -> Tensors:
        """Double."""
        self.batches.append(tensors)
        if (tensors["x"] == POISON).any():
            raise RuntimeError("poison")
        return {"y": tensors["x"] * 2}

    def close(self) -> None:
        """Remember it."""
        self.is_closed = True


class SummingRuntime(DoublingRuntime):
    """Answer a single sum over all rows, so that the output has no row for each row."""

    def run(self, tensors: Tensors, /) -> Tensors:
        """Sum up."""
        self.batches.append(tensors)
        return {"y": np.array([tensors["x"].sum()])}


class HeldExecutor(Executor):
    """Keep what is submitted until the test runs it."""

    def __init__(self) -> None:
        self.held: deque[Callable[[], object]] = deque()
        self.most_held = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401 - as the superclass
        """Hold a call."""
        self.held.append(lambda: fn(*args, **kwargs))
        self.most_held = max(self.most_held, len(self.held))
        return Future()

    async def run_next(self) -> None:
        """Run the oldest call that is held, and let the loop take note of it."""
        self.held.popleft()()
        await turn()

    async def run_all(self) -> None:
        """Run whatever is held, and what that brings, until nothing is."""
        while self.held:
            await self.run_next()


class InlineExecutor(Executor):
    """Run what is submitted at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401 - as the superclass
        """Run a call."""
        fn(*args, **kwargs)
        return Future()


class FakeClock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


async def turn() -> None:
    """Let the loop do everything that is ready."""
    for _ in range(5):
        await asyncio.sleep(0)


def rows_of(*values: float, width: int = 1) -> Tensors:
    """Make one row for each value."""
    return {"x": np.array([[value] * width for value in values], np.float32)}


def ask(
    batcher: Batcher, *values: float, lane: str = "a", deadline: float = FAR, width: int = 1
) -> asyncio.Task[Prediction]:
    """Send one request in a task of its own."""
    return asyncio.create_task(
        batcher.predict(
            rows_of(*values, width=width), rows=len(values), lane=lane, deadline=deadline
        )
    )


def doubled(prediction: Prediction) -> list[float]:
    """List the first column of an answer."""
    column: list[float] = prediction.outputs["y"][:, 0].tolist()
    return column
