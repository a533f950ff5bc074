"""Hold what one caller asked of a model while it waits and runs, whole or in pieces."""

import asyncio
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from inference.tensors import Tensors

Key: TypeAlias = tuple[object, ...]
"""Datatype and item shape of every input; only requests with equal keys share a run."""


@dataclass(slots=True, eq=False)
class Request:
    """One caller's rows while they wait and run; nothing of the caller but an opaque lane."""

    tensors: Tensors
    rows: int
    lane: str
    deadline: float
    key: Key
    arrived: float
    """When it came, on the clock `perf_counter`."""

    answer: asyncio.Future[Any]
    weight: int = 1
    """Share of its lane beside other lanes."""

    taken: int = 0
    """Rows that runs have taken already, from the front."""

    answered: tuple[Tensors, ...] = ()
    """Outputs of the pieces that have run; empty where it runs whole."""

    answered_rows: int = 0
    queue_seconds: float = 0.0
    """Time until its first piece ran."""

    compute_seconds: float = 0.0
    """Time that its pieces ran, together."""

    compute_us: int = 0
    """What it has of the runs of its pieces so far, in microseconds, unless that is waived."""

    is_begun_again: bool = False
    """What its pieces took was in vain."""

    @property
    def left(self) -> int:
        """Count the rows that wait still."""
        return self.rows - self.taken

    def cut(self, rows: int) -> "Piece":
        """Take the next rows for a run; all at once, they are the very arrays that were given."""
        start = self.taken
        self.taken += rows
        if rows == self.rows:
            return Piece(self, rows, self.tensors)
        end = start + rows
        return Piece(self, rows, {name: array[start:end] for name, array in self.tensors.items()})

    def continues(self, outputs: Tensors) -> bool:
        """Say whether a piece's outputs can stand behind those before: same items, same type."""
        return not self.answered or all(
            (array.shape[1:], array.dtype) == (outputs[name].shape[1:], outputs[name].dtype)
            for name, array in self.answered[0].items()
        )

    def joined(self) -> Tensors:
        """Put the outputs of all pieces together; pieces ran in order."""
        names = self.answered[0]
        return {name: np.concatenate([part[name] for part in self.answered]) for name in names}


class Piece(NamedTuple):
    """The rows of one request that are in one run."""

    request: Request
    rows: int
    tensors: Tensors
