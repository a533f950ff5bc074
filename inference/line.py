"""Hold one track of a batcher: where its runs wait for a thread, and the run that is on."""

from concurrent.futures import Executor
from dataclasses import dataclass, field

from inference.requests import Piece
from inference.tracks import Track


@dataclass(slots=True, eq=False)
class Line:
    """The runs of one track, one at a time."""

    track: Track
    executor: Executor
    yielding_executor: Executor
    """Where they wait beside others."""

    running: list[Piece] = field(default_factory=list)
    is_busy: bool = False
    """A run is on, or about to begin."""
