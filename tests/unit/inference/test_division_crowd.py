"""Many lanes on two tracks, in the simulated time of runs that nobody makes."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from inference.batch_queue import BatchQueue, QueueLimits
from inference.requests import Piece, Request
from inference.run_times import RunTimes
from inference.tracks import Track
from tests.unit.inference.fakes import FAR, echo_run, rows_of

DEAR = {1: 0.005, 2: 0.0104, 4: 0.022, 8: 0.044}
"""Seconds of runs in which rows cost more together, so that one row is the best size."""

WINDOW = 10.0


@dataclass
class Crowd:
    """Callers that ask again as soon as they are answered, each time for the next lane."""

    loop: asyncio.AbstractEventLoop
    next_lane: Callable[[], str]
    now: float = 0.0
    runs: list[tuple[float, Track, list[Piece]]] = field(default_factory=list)
    """Of those that are over: when, where, and what it held."""

    queue: BatchQueue = field(init=False)
    _ends: dict[Track, tuple[float, list[Piece]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the queue."""
        limits = QueueLimits(max_batch_size=max(DEAR))
        times = RunTimes(max(DEAR), DEAR)
        self.queue = BatchQueue(limits, times, can_share=True, is_divided=True)

    def ask(self) -> None:
        """Ask for a row."""
        answer = self.loop.create_future()
        lane = self.next_lane()
        self.queue.add(
            Request(rows_of(1), 1, lane, FAR, ("FP32",), self.now, answer, 1), now=self.now
        )

    def run_until(self, end: float) -> None:
        """Let runs begin and end."""
        while self.now < end:
            for track in Track:
                if track not in self._ends and (batch := self.queue.take(self.now, track).batch):
                    self._ends[track] = (self.now + DEAR[1] * len(batch), batch)
            track = min(self._ends, key=lambda track: self._ends[track][0])
            self.now, batch = self._ends.pop(track)
            self._end(batch, track)
            for _ in batch:
                self.ask()

    def _end(self, batch: list[Piece], track: Track) -> None:
        seconds = DEAR[1] * len(batch)
        run = echo_run(batch, started=self.now, seconds=seconds)
        self.queue.settle(batch, run, work_seconds=seconds, track=track)
        self.runs.append((self.now, track, batch))

    def share_behind(self, since: float) -> float:
        """Say which part of the runs was on the back track."""
        tracks = [track for end, track, _ in self.runs if end > since]
        return sum([track is Track.BACK for track in tracks]) / len(tracks)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Give a loop for the futures of answers."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def test_lanes_that_ask_alike_are_in_one_line(loop: asyncio.AbstractEventLoop) -> None:
    """Some have more in the queue than others, by chance; nobody floods.

    Fifty tenants ask as chance wills, and several times more waits than a run holds.
    """
    chance = np.random.default_rng(1)
    crowd = Crowd(loop, lambda: str(chance.integers(50)))
    for _ in range(64):
        crowd.ask()
    crowd.run_until(3 * WINDOW)
    assert crowd.share_behind(since=WINDOW) < 0.02


def test_lanes_that_ask_for_more_are_behind(loop: asyncio.AbstractEventLoop) -> None:
    """Three tenants flood and one asks seldom: it has the front to itself."""
    chance = np.random.default_rng(1)
    crowd = Crowd(loop, lambda: "abc"[chance.integers(3)] if chance.random() < 0.98 else "seldom")
    for _ in range(64):
        crowd.ask()
    crowd.run_until(3 * WINDOW)
    settled = [(track, batch) for end, track, batch in crowd.runs if end > 2 * WINDOW]
    in_front = {
        piece.request.lane for track, batch in settled if track is Track.FRONT for piece in batch
    }
    assert in_front == {"seldom"}
    assert crowd.share_behind(since=2 * WINDOW) > 0.9
