"""Divide the lanes of one queue between two tracks, where a lane floods.

A run cannot be interrupted and takes as long as its batch is large, so a caller that asks seldom
would wait for the runs of one that floods, or be one row among many of them. Where a lane floods,
the lanes below their share have the front track to themselves, and the flood runs behind them.

Source: docs/decisions/0014-two-tracks.md.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from inference.demand import Asking, Demand
from inference.lanes import Choice, Lanes, any_lane
from inference.requests import Piece
from inference.run_times import RunTimes
from inference.tracks import Track

_COMPANY_SECONDS: Final = 60.0
"""After two lanes were seen, one that most rows are of is taken to have company for so long."""

_FLOOD_SECONDS: Final = 1.0
"""A lane that flooded is taken to flood for so long, or its next run would be in others' way."""


class _UnderWay(NamedTuple):
    """Rows of each lane in the runs that are on; no lane is in both."""

    front: dict[str, int]
    back: dict[str, int]
    all: dict[str, int]


class Division:
    """Which lanes may run on which track; no lane ever runs on both at once.

    Concurrency: none of its own; used under the batcher's lock.
    """

    def __init__(
        self, lanes: Lanes, times: RunTimes, *, is_divided: bool, quick_rows: int = 0
    ) -> None:
        """Divide `lanes`, or never where one track is all there is.

        So many `quick_rows` run quicker than a thread takes its turn, and are nobody's flood.
        """
        self._lanes = lanes
        self._times = times
        self._is_divided = is_divided
        self.quick_rows = quick_rows
        self._batches: list[Sequence[Piece]] = [(), ()]
        """What runs on each track."""
        self._under_way: _UnderWay | None = None
        """The same by lanes; None where nobody asked since it changed."""
        self._last_lane = ""
        self._company_until = 0.0
        self._flooding_until: dict[str, float] = {}
        self._demand = Demand()

    def note_arrival(self, lane: str, rows: int, *, weight: int, now: float) -> None:
        """Take note of who asks."""
        if self._is_divided:
            self._demand.note(lane, rows, weight=weight, now=now)
        if lane != self._last_lane:
            self._company_until = now + _COMPANY_SECONDS if self._last_lane else now
            self._last_lane = lane

    def has_company(self, now: float) -> bool:
        """Say whether more than one lane was seen lately."""
        return now < self._company_until

    def note_begun(self, batch: Sequence[Piece], track: Track) -> None:
        """Take note of a run that begins."""
        if self._is_divided:
            self._batches[track] = batch
            self._under_way = None

    def note_over(self, track: Track) -> None:
        """Take note of a run that is over."""
        self.note_begun((), track)

    def track_of(self, lane: str, now: float) -> Track:
        """Say where the rows of a lane that waits will run."""
        if self._is_calm():
            return Track.FRONT
        under_way = self._lanes_on()
        if lane in under_way.front:
            return Track.FRONT
        if lane in under_way.back or self._floods(lane, now):
            return Track.BACK
        is_ahead = self._lanes.is_ahead(lane) or not self._is_flooded(now)
        return Track.FRONT if is_ahead else Track.BACK

    def choice(self, track: Track, now: float) -> Choice:
        """Say which lanes a track may take from."""
        if self._is_calm():
            return any_lane if track is Track.FRONT else _no_lane
        elsewhere = self._lanes_on()[1 - track]
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
        rows = self._lanes.rows
        if not rows or self._is_calm():
            return rows if track is Track.FRONT else 0
        choice = self.choice(track, now)
        return rows if choice is any_lane else self._lanes.rows_chosen(choice)

    def _is_calm(self) -> bool:
        """Say whether all that waits is one line: cheaply, since most ask where nothing floods."""
        if not self._is_divided:
            return True
        return self._lanes.rows <= self.quick_rows and not any(self._batches)

    def _lanes_on(self) -> "_UnderWay":
        """Say which lanes run now."""
        if self._under_way is None:
            front, back = [_rows_by_lane(batch) for batch in self._batches]
            self._under_way = _UnderWay(front, back, front | back)
        return self._under_way

    def _floods(self, lane: str, now: float) -> bool:
        """Say whether a lane floods, or did a moment ago."""
        asking = self._demand.of(lane)
        if asking is not Asking.ALIKE and self._lanes.floods(
            lane,
            self._times.best_rows,
            self._lanes_on().all,
            has_company=self.has_company(now),
            is_known=asking is not Asking.UNKNOWN,
        ):
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


def _rows_by_lane(batch: Sequence[Piece]) -> dict[str, int]:
    """Count the rows of each lane in a batch."""
    rows: dict[str, int] = {}
    for piece in batch:
        lane = piece.request.lane
        rows[lane] = rows.get(lane, 0) + piece.rows
    return rows
