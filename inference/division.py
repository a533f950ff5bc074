"""Divide the lanes of one queue between two tracks, where a lane floods.

A run cannot be interrupted and takes as long as its batch is large, so a caller that asks seldom
would wait for the runs of one that floods, or be one row among many of them. Where a lane floods,
the lanes below their share have the front track to themselves, and the flood runs behind them.

Source: docs/decisions/0014-two-tracks.md.
"""

from collections.abc import Iterable
from typing import Final

from inference.lanes import Choice, Lanes, any_lane
from inference.requests import Piece
from inference.run_times import RunTimes
from inference.tracks import Track

_COMPANY_SECONDS: Final = 60.0
"""After two lanes were seen, one that most rows are of is taken to have company for so long."""

_FLOOD_SECONDS: Final = 1.0
"""A lane that flooded is taken to flood for so long, or its next run would be in others' way."""


class Division:
    """Which lanes may run on which track; no lane ever runs on both at once.

    Concurrency: none of its own; used under the batcher's lock.
    """

    def __init__(self, lanes: Lanes, times: RunTimes, *, is_divided: bool) -> None:
        """Divide `lanes`, or never where one track is all there is."""
        self._lanes = lanes
        self._times = times
        self._is_divided = is_divided
        self._under_way: dict[str, int] = {}
        """Rows of each lane in the runs that are on."""
        self._lanes_on: tuple[set[str], set[str]] = (set(), set())
        """Lanes in the run of each track."""
        self._last_lane = ""
        self._company_until = 0.0
        self._flooding_until: dict[str, float] = {}

    def note_arrival(self, lane: str, now: float) -> None:
        """Take note of who asks."""
        if lane != self._last_lane:
            self._company_until = now + _COMPANY_SECONDS if self._last_lane else now
            self._last_lane = lane

    def has_company(self, now: float) -> bool:
        """Say whether more than one lane was seen lately."""
        return now < self._company_until

    def note_begun(self, batch: Iterable[Piece], track: Track) -> None:
        """Take note of a run that begins."""
        if self._is_divided:
            for piece in batch:
                lane = piece.request.lane
                self._under_way[lane] = self._under_way.get(lane, 0) + piece.rows
                self._lanes_on[track].add(lane)

    def note_over(self, track: Track) -> None:
        """Take note of a run that is over."""
        for lane in self._lanes_on[track]:
            del self._under_way[lane]
        self._lanes_on[track].clear()

    def track_of(self, lane: str, now: float) -> Track:
        """Say where the rows of a lane that waits will run."""
        if not self._is_divided or lane in self._lanes_on[Track.FRONT]:
            return Track.FRONT
        if lane in self._lanes_on[Track.BACK] or self._floods(lane, now):
            return Track.BACK
        is_ahead = self._lanes.is_ahead(lane) or not self._is_flooded(now)
        return Track.FRONT if is_ahead else Track.BACK

    def choice(self, track: Track, now: float) -> Choice:
        """Say which lanes a track may take from."""
        if not self._is_divided:
            return any_lane
        elsewhere = self._lanes_on[1 - track]
        if not self._is_flooded(now):
            if track is Track.BACK:
                return _no_lane
            return (lambda name: name not in elsewhere) if elsewhere else any_lane
        is_front = track is Track.FRONT
        return lambda name: (
            name not in elsewhere
            and (self._lanes.is_ahead(name) and not self._floods(name, now)) is is_front
        )

    def rows_for(self, track: Track, now: float) -> int:
        """Count the rows that a track may take."""
        if not self._lanes.rows:
            return 0
        choice = self.choice(track, now)
        return self._lanes.rows if choice is any_lane else self._lanes.rows_chosen(choice)

    def _floods(self, lane: str, now: float) -> bool:
        """Say whether a lane floods, or did a moment ago."""
        has_company = self.has_company(now)
        best = self._times.best_rows
        if self._lanes.floods(lane, best, self._under_way, has_company=has_company):
            self._flooding_until[lane] = now + _FLOOD_SECONDS
            return True
        if now < self._flooding_until.get(lane, now):
            return True
        self._flooding_until.pop(lane, None)
        return False

    def _is_flooded(self, now: float) -> bool:
        return any(self._floods(name, now) for name in self._lanes.waiting_lanes())


def _no_lane(_name: str) -> bool:
    """Take from no lane."""
    return False
