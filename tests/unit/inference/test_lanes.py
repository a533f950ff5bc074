"""The lanes: deficit round robin over tenants, counted in rows."""

from asyncio import Future, new_event_loop
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from inference.lanes import Lanes
from inference.requests import Key, Piece, Request
from tests.unit.inference.fakes import rows_of

Make = Callable[[str, int], Request]
KEY: Key = ("FP32",)


def request_of(answer: "Future[object]", lane: str, rows: int, *, key: Key = KEY) -> Request:
    """Make a request that waits."""
    return Request({}, rows, lane, deadline=1, key=key, arrived=0, answer=answer)


def take(lanes: Lanes, capacity: int) -> list[Request]:
    """Take whole requests."""
    return [piece.request for piece in lanes.take(capacity, whole_rows=1000)]


@pytest.fixture
def answer() -> Iterator["Future[object]"]:
    """Give a future that nobody awaits."""
    loop = new_event_loop()
    yield loop.create_future()
    loop.close()


@pytest.fixture
def make(answer: "Future[object]") -> Make:
    """Give a maker of requests."""
    return lambda lane, rows: request_of(answer, lane, rows)


def test_lanes_share_a_run_equally(make: Make) -> None:
    """Three flooding lanes get the same number of rows of each run, give or take one."""
    lanes = Lanes(round_rows=9)
    for lane in "abc":
        for _ in range(30):
            lanes.add(make(lane, 1))
    counts = Counter(request.lane for request in take(lanes, 9))
    assert counts == {"a": 3, "b": 3, "c": 3}


def test_rows_not_requests_are_shared(make: Make) -> None:
    """A lane of large requests gets as many rows as a lane of small ones over several runs."""
    lanes = Lanes(round_rows=8)
    for _ in range(40):
        lanes.add(make("large", 4))
    for _ in range(160):
        lanes.add(make("small", 1))
    rows: Counter[str] = Counter()
    for _ in range(10):
        for request in take(lanes, 8):
            rows[request.lane] += request.rows
    assert abs(rows["large"] - rows["small"]) <= 8


def test_unused_share_goes_to_the_others(make: Make) -> None:
    """A run is filled by whoever waits when a lane has less than its share."""
    lanes = Lanes(round_rows=8)
    lanes.add(make("a", 1))
    for _ in range(20):
        lanes.add(make("b", 1))
    counts = Counter(request.lane for request in take(lanes, 8))
    assert counts == {"a": 1, "b": 7}


def test_oversized_request_is_not_starved(make: Make) -> None:
    """A request larger than a run gets its turn among lanes that always have something."""
    lanes = Lanes(round_rows=8)
    lanes.add(make("large", 20))
    for _ in range(100):
        lanes.add(make("small", 1))
    runs = [take(lanes, 8) for _ in range(6)]
    assert ["large"] in [[request.lane for request in run] for run in runs]


def test_oversized_request_is_taken_alone(make: Make) -> None:
    """Nobody rides along with a request that is larger than a run."""
    lanes = Lanes(round_rows=8)
    lanes.add(make("a", 20))
    lanes.add(make("a", 1))
    assert [request.rows for request in take(lanes, 8)] == [20]


def test_only_equal_keys_are_taken_together(answer: "Future[object]") -> None:
    """Requests of another key stay, and come first in the next run."""
    lanes = Lanes(round_rows=8)
    for lane, key in (("a", KEY), ("b", ("INT64",)), ("c", KEY)):
        lanes.add(request_of(answer, lane, 1, key=key))
    assert [request.lane for request in take(lanes, 8)] == ["a", "c"]
    assert [request.lane for request in take(lanes, 8)] == ["b"]


def test_lane_that_is_passed_over_comes_first(make: Make) -> None:
    """A request that did not fit into a run leads the next one."""
    lanes = Lanes(round_rows=8)
    lanes.add(make("a", 5))
    lanes.add(make("b", 5))
    lanes.add(make("a", 5))
    first, second = take(lanes, 8), take(lanes, 8)
    assert [request.lane for request in (*first, *second)] == ["a", "b"]


def test_smaller_lane_displaces_the_newest_of_the_longest(make: Make) -> None:
    """Room is made at the cost of the longest lane's newest request."""
    lanes = Lanes(round_rows=8)
    flood = [make("flood", 1) for _ in range(10)]
    for request in flood:
        lanes.add(request)
    assert lanes.make_room(1, "quiet", weight=1, limit=10) == [flood[-1]]


def test_lane_with_its_share_displaces_nobody(make: Make) -> None:
    """The lane that floods cannot make room for itself."""
    lanes = Lanes(round_rows=8)
    for _ in range(10):
        lanes.add(make("flood", 1))
    assert lanes.make_room(1, "flood", weight=1, limit=10) is None
    assert lanes.rows == 10


def test_empty_lanes_are_forgotten(make: Make) -> None:
    """Memory does not grow with the tenants of the past."""
    lanes = Lanes(round_rows=8)
    for index in range(100):
        request = make(str(index), 1)
        lanes.add(request)
        lanes.remove(request)
    assert not lanes._lanes
    assert lanes.rows == 0


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 20)), max_size=40),
    st.integers(1, 10),
)
def test_everything_that_waits_is_taken_once(arrivals: list[tuple[str, int]], size: int) -> None:
    """Taking until nothing is left yields each request once, in the order of its lane."""
    loop = new_event_loop()
    waiting = [request_of(loop.create_future(), lane, rows) for lane, rows in arrivals]
    loop.close()
    lanes = Lanes(round_rows=8)
    for request in waiting:
        lanes.add(request)
    taken: list[Request] = []
    while batch := take(lanes, size):
        taken += batch
    assert lanes.rows == 0
    for lane in "abcd":
        assert [item for item in taken if item.lane == lane] == [
            item for item in waiting if item.lane == lane
        ]


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 60)), max_size=20),
    st.lists(st.tuples(st.integers(1, 20), st.integers(0, 80), st.booleans()), min_size=1),
)
def test_every_row_is_taken_once_whatever_is_cut(
    arrivals: list[tuple[str, int]], runs: list[tuple[int, int, bool]]
) -> None:
    """What is worth cutting changes between the pieces of a request; some are put back."""
    loop = new_event_loop()
    lanes = Lanes(round_rows=8)
    waiting = [
        Request(rows_of(*range(rows)), rows, lane, 1, KEY, 0, loop.create_future())
        for lane, rows in arrivals
    ]
    loop.close()
    for request in waiting:
        lanes.add(request)
    taken: dict[Request, list[Piece]] = {request: [] for request in waiting}
    for capacity, whole_rows, is_put_back in runs:
        batch = lanes.take(capacity, whole_rows=whole_rows)
        if is_put_back and batch:
            lanes.put_back(batch.pop())
        for piece in batch:
            taken[piece.request].append(piece)
        assert lanes.rows == sum(request.left for request in lanes)
    while batch := lanes.take(8, whole_rows=8):
        for piece in batch:
            taken[piece.request].append(piece)
    for request, pieces in taken.items():
        rows = [row for piece in pieces for row in piece.tensors["x"]]
        assert_array_equal(rows, request.tensors["x"])
