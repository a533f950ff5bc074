"""Keep the requests that wait for one model, in one lane for each tenant, and choose who runs next.

The choice is deficit round robin over lanes, counted in rows: a lane that floods waits for itself.

Source: M. Shreedhar and G. Varghese, "Efficient Fair Queuing using Deficit Round Robin", 1995.
"""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

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


@dataclass(slots=True)
class _Lane:
    waiting: OrderedDict[Request, None] = field(default_factory=OrderedDict)
    rows: int = 0
    balance: int = 0
    """Rows that the lane may still take in this round."""


class Lanes:
    """Everything that waits for one model. Memory: a lane without requests is forgotten."""

    def __init__(self) -> None:
        self._lanes: OrderedDict[str, _Lane] = OrderedDict()
        self.rows = 0

    def __iter__(self) -> Iterator[Request]:
        """Walk all waiting requests."""
        for lane in self._lanes.values():
            yield from lane.waiting

    def add(self, request: Request) -> None:
        """Let a request wait at the end of its lane."""
        lane = self._lanes.get(request.lane)
        if lane is None:
            lane = self._lanes[request.lane] = _Lane()
        lane.waiting[request] = None
        lane.rows += request.rows
        self.rows += request.rows

    def remove(self, request: Request) -> None:
        """Forget a request; one that no longer waits is ignored."""
        lane = self._lanes.get(request.lane)
        if lane is None or request not in lane.waiting:
            return
        del lane.waiting[request]
        self._take_off(lane, request)

    def take(self, capacity: int) -> list[Request]:
        """Take the requests of the next run: equal keys, at most `capacity` rows.

        A request with more rows than that is taken alone. A lane that is passed over for its key
        or its size stays in front, so that it comes first in a later run.
        """
        batch: list[Request] = []
        room = capacity
        while room > 0 and self._lanes:
            taken = self._take_round(batch, room, capacity)
            room -= taken
            if not taken and batch:
                break
            if not taken:
                self._advance()
        return batch

    def make_room(self, rows: int, lane: str, limit: int) -> list[Request] | None:
        """Take out the newest requests of the longest lanes for one that has less than its share.

        Threat: without it, one tenant's flood fills the queue and every other is refused.
        Returns None where `lane` itself has its share of `limit` rows already.
        """
        if not self.may_make_room(rows, lane, limit):
            return None
        evicted: list[Request] = []
        while self.rows + rows > limit:
            longest = max(self._lanes.values(), key=lambda lane: lane.rows)
            request = next(reversed(longest.waiting))
            self.remove(request)
            evicted.append(request)
        return evicted

    def may_make_room(self, rows: int, lane: str, limit: int) -> bool:
        """Say whether a lane would still have no more than its share of `limit` rows."""
        own = self._lanes.get(lane)
        lanes = len(self._lanes) + (own is None)
        return (own.rows if own else 0) + rows <= limit // lanes

    def _take_round(self, batch: list[Request], room: int, capacity: int) -> int:
        """Give each lane its share of the capacity once; returns the rows taken."""
        quantum = math.ceil(capacity / len(self._lanes))
        taken = 0
        for name, lane in tuple(self._lanes.items()):
            head = next(iter(lane.waiting))
            lane.balance = min(lane.balance + quantum, max(quantum, head.rows))
            rows = self._take_from(lane, batch, room - taken)
            taken += rows
            if rows and lane.waiting:
                self._lanes.move_to_end(name)
            if taken >= room:
                break
        return taken

    def _take_from(self, lane: _Lane, batch: list[Request], room: int) -> int:
        """Move requests of one lane into the batch while its balance and the room allow."""
        left = room
        while lane.waiting:
            head = next(iter(lane.waiting))
            fits = head.rows <= left or not batch
            if not fits or head.rows > lane.balance or (batch and head.key != batch[0].key):
                break
            lane.balance -= head.rows
            left -= head.rows
            batch.append(head)
            del lane.waiting[head]
            self._take_off(lane, head)
        return room - left

    def _take_off(self, lane: _Lane, request: Request) -> None:
        lane.rows -= request.rows
        self.rows -= request.rows
        if not lane.waiting:
            del self._lanes[request.lane]

    def _advance(self) -> None:
        """Skip the rounds in which nobody could have afforded its first request."""
        lanes = self._lanes.values()
        lack = min(next(iter(lane.waiting)).rows - lane.balance for lane in lanes)
        for lane in lanes:
            lane.balance += max(lack, 0)
