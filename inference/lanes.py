"""Keep the requests that wait for one model, in one lane for each tenant, and choose who runs next.

The choice is deficit round robin over lanes, counted in rows and weighed by lane: a lane that
floods waits for itself. A lane that comes from idleness goes first, for one round's share, so that
whoever asks seldom waits for no more than the run that is on.

Source: M. Shreedhar and G. Varghese, "Efficient Fair Queuing using Deficit Round Robin", 1995; the
two lists of lanes are those of RFC 8290 section 4.2.
"""

import math
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from inference.requests import Piece, Request

_MOST_PASSED_OVER = 64
"""Lanes that one run looks at in vain; more would take longer than they save."""

_DOMINANT: Final = 3
"""A lane with so many times the rows of all others, by weight, makes them wait for its runs."""

Choice: TypeAlias = Callable[[str], bool]
"""Says whether a lane, by its name, may be taken from."""


def any_lane(_name: str) -> bool:
    """Take from every lane."""
    return True


@dataclass(slots=True, eq=False)
class _Lane:
    name: str
    weight: int
    balance: int = 0
    """Rows that the lane may still take in this round; below zero, it took more than its share."""

    waiting: OrderedDict[Request, None] = field(default_factory=OrderedDict)
    rows: int = 0
    is_fresh: bool = True
    """It has had no share yet."""


class Lanes:
    """Everything that waits for one model. Memory: nothing is kept while nothing waits.

    Concurrency: none of its own; who uses it from several threads holds a lock.
    """

    def __init__(self, *, round_rows: int) -> None:
        """Share `round_rows` rows in each round among all lanes by their weights."""
        self.rows = 0
        """Rows that wait."""
        self._round_rows = round_rows
        self._lanes: dict[str, _Lane] = {}
        self._new: deque[_Lane] = deque()
        self._old: deque[_Lane] = deque()
        self._weight = 0
        """Of the lanes where somebody waits."""

    def __iter__(self) -> Iterator[Request]:
        """Walk all waiting requests."""
        for lane in self._lanes.values():
            yield from lane.waiting

    def add(self, request: Request) -> None:
        """Let a request wait at the end of its lane."""
        lane = self._lanes.get(request.lane)
        if lane is None:
            lane = _Lane(request.lane, request.weight)
            self._weight += request.weight
            self._lanes[request.lane] = lane
            self._new.append(lane)
        elif not lane.waiting:
            lane.weight = request.weight
            self._weight += request.weight
        rows = request.rows - request.taken
        lane.waiting[request] = None
        lane.rows += rows
        self.rows += rows

    def remove(self, request: Request) -> None:
        """Forget a request; one that no longer waits is ignored."""
        lane = self._lanes.get(request.lane)
        if lane is not None and request in lane.waiting:
            del lane.waiting[request]
            self._count_off(lane, request.left)

    def put_back(self, piece: Piece) -> None:
        """Let rows that were taken wait again, in front of their lane."""
        request = piece.request
        request.taken -= piece.rows
        lane = self._lanes.get(request.lane)
        if lane is None or request not in lane.waiting:
            self.add(request)
            lane = self._lanes[request.lane]
        else:
            lane.rows += piece.rows
            self.rows += piece.rows
        lane.waiting.move_to_end(request, last=False)
        lane.balance += piece.rows

    def take(
        self,
        capacity: int,
        *,
        whole_rows: int,
        alone_rows: int = 0,
        may_take: Choice = any_lane,
    ) -> list[Piece]:
        """Take the rows of the next run: equal keys, at most `capacity` rows.

        A request of at most `whole_rows` is not cut, unless a part of it was taken before; one that
        is larger than the capacity is taken alone. What is cut may have `alone_rows` where nobody
        shares its run. A lane that is passed over, for its key or its size or by choice, stays in
        front, so that it comes first in a later run.
        """
        batch: list[Piece] = []
        passed_over: list[_Lane] = []
        room, turns, in_vain = capacity, 0, 0
        while room > 0 and in_vain < _MOST_PASSED_OVER:
            lane = self._next_lane()
            if lane is None:
                break
            if not may_take(lane.name):
                (self._new or self._old).popleft()
                passed_over.append(lane)
                continue
            if lane.is_fresh:
                lane.is_fresh = False
                lane.balance += self._quantum(lane)
            if lane.balance <= 0:
                turns += 1
                self._end_turn(lane, is_stuck=turns > len(self._lanes))
                continue
            alone = alone_rows if not batch else 0
            taken = _serve(lane, batch, room, whole_rows=whole_rows, alone_rows=alone)
            self._count_off(lane, taken)
            room -= taken
            turns = 0 if taken else turns
            if room > 0 and lane.waiting and lane.balance > 0:
                (self._new or self._old).popleft()
                passed_over.append(lane)
                in_vain += 1
        self._old.extendleft(reversed(passed_over))
        return batch

    def take_all(self) -> list[Piece]:
        """Take whatever waits, where it can share a run; nothing where it cannot."""
        waiting = [request for lane in self._lanes.values() for request in lane.waiting]
        key = waiting[0].key
        if any(request.key != key for request in waiting):
            return []
        self.rows = self._weight = 0
        self._lanes.clear()
        self._new.clear()
        self._old.clear()
        return [request.cut(request.left) for request in waiting]

    def make_room(self, rows: int, lane: str, *, weight: int, limit: int) -> list[Request] | None:
        """Take out the newest requests of the longest lanes for one that has less than its share.

        A request of which a part has run already stays.

        Threat: without it, one tenant's flood fills the queue and every other is refused.
        Returns None where `lane` itself has its share of `limit` rows already.
        """
        if not self.may_make_room(rows, lane, weight=weight, limit=limit):
            return None
        evicted: list[Request] = []
        while self.rows + rows > limit:
            candidates = [lane for lane in self._lanes.values() if _is_displaceable(lane)]
            longest = max(candidates, key=lambda lane: lane.rows / lane.weight)
            request = next(reversed(longest.waiting))
            self.remove(request)
            evicted.append(request)
        return evicted

    def may_make_room(self, rows: int, lane: str, *, weight: int, limit: int) -> bool:
        """Say whether a lane would still have no more than its share of `limit` rows."""
        own, all_weights = self._standing(lane, weight)
        if own + rows > limit * weight // all_weights:
            return False
        begun = sum([request.left for request in self._begun()])
        return begun + rows <= limit

    def floods(
        self,
        name: str,
        run_rows: int,
        under_way: Mapping[str, int],
        *,
        has_company: bool,
        is_known: bool,
    ) -> bool:
        """Say whether a lane makes others wait for more than their own rows.

        Either more rows wait than a run of `run_rows` holds, and more of this lane than its share
        of such a run, and it `is_known` to ask for more than others; or most rows are its own,
        those that are `under_way` counted in, so that its batches would be everybody's: of others
        that wait, or may come where it `has_company`. One request is no flood, whatever its size.
        """
        lane = self._lanes.get(name)
        if lane is None or not lane.waiting:
            return False
        own = lane.rows + under_way.get(name, 0)
        if own <= next(iter(lane.waiting)).rows:
            return False
        if is_known and self.rows > run_rows and lane.rows * self._weight > run_rows * lane.weight:
            return True
        others_weight = max(self._weight - lane.weight, int(has_company))
        others = self.rows + sum(under_way.values()) - own
        share = run_rows * lane.weight / (lane.weight + others_weight)
        return own * others_weight > _DOMINANT * lane.weight * others and 2 * own > share

    def waiting_lanes(self) -> Iterator[str]:
        """Walk the names of the lanes where somebody waits."""
        return (name for name, lane in self._lanes.items() if lane.waiting)

    def is_ahead(self, name: str) -> bool:
        """Say whether a lane that waits had less than its share in this round."""
        lane = self._lanes[name]
        return lane.is_fresh or lane.balance > 0

    def rows_chosen(self, choice: Choice) -> int:
        """Count the rows that wait in some lanes."""
        return sum([lane.rows for name, lane in self._lanes.items() if lane.rows and choice(name)])

    def rows_of(self, lane: str) -> int:
        """Count the rows that wait in one lane."""
        own = self._lanes.get(lane)
        return own.rows if own else 0

    def rows_before(self, lane: str, *, weight: int) -> int:
        """Estimate how many rows run before the next one of a lane.

        A lane gets its weight's share of the rows while the others wait too, so it waits for as
        many of theirs as its own take; never for more than there are.
        """
        own, all_weights = self._standing(lane, weight)
        return min(self.rows, own * all_weights // weight)

    def _standing(self, lane: str, weight: int) -> tuple[int, int]:
        """Return a lane's own rows, and the weights of all lanes with it."""
        own = self._lanes.get(lane)
        if own is None or not own.waiting:
            return 0, self._weight + weight
        return own.rows, self._weight - own.weight + weight

    def _begun(self) -> Iterator[Request]:
        """Walk the requests of which a part has run; they are the first of their lanes."""
        for lane in self._lanes.values():
            head = next(iter(lane.waiting), None)
            if head is not None and head.taken:
                yield head

    def _quantum(self, lane: _Lane) -> int:
        return math.ceil(self._round_rows * lane.weight / max(self._weight, 1))

    def _next_lane(self) -> _Lane | None:
        """Find whose turn it is; lanes that ran empty are forgotten when their turn comes.

        A new lane that ran empty takes its place among the old ones first: otherwise one that
        comes and goes would be new for ever.
        """
        while self._new or self._old:
            lanes = self._new or self._old
            lane = lanes[0]
            if lane.waiting:
                return lane
            lanes.popleft()
            if lanes is self._new and self._old:
                self._old.append(lane)
            else:
                del self._lanes[lane.name]
        return None

    def _end_turn(self, lane: _Lane, *, is_stuck: bool) -> None:
        """Give a lane its share of the next round, at the end of the line.

        Where everybody is in debt, the rounds in which nobody could take anything are skipped.
        """
        (self._new or self._old).popleft()
        self._old.append(lane)
        lane.balance += self._quantum(lane)
        if is_stuck:
            waiting = [lane for lane in (*self._new, *self._old) if lane.waiting]
            rounds = min(-lane.balance // self._quantum(lane) for lane in waiting)
            for other in waiting:
                other.balance += max(rounds, 0) * self._quantum(other)

    def _count_off(self, lane: _Lane, rows: int) -> None:
        """Count rows that wait no more; with the last, everything is forgotten."""
        lane.rows -= rows
        self.rows -= rows
        if rows and not lane.waiting:
            self._weight -= lane.weight
        if not self.rows:
            self._lanes.clear()
            self._new.clear()
            self._old.clear()


def _serve(lane: _Lane, batch: list[Piece], room: int, *, whole_rows: int, alone_rows: int) -> int:
    """Move rows of one lane into the batch while its balance and the room allow."""
    left = room
    while left > 0 and lane.balance > 0 and lane.waiting:
        head = next(iter(lane.waiting))
        if batch and head.key != batch[0].request.key:
            break
        if head.taken or head.rows > whole_rows:
            rows = min(head.left, max(min(left, lane.balance), alone_rows))
        elif head.rows <= left or not batch:
            rows = head.rows
        else:
            break
        alone_rows = 0
        batch.append(head.cut(rows))
        if not head.left:
            del lane.waiting[head]
        lane.balance -= rows
        left -= rows
    return room - left


def _is_displaceable(lane: _Lane) -> bool:
    return bool(lane.waiting) and not next(reversed(lane.waiting)).taken
