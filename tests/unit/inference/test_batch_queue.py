"""The queue of a model: whose turn it is by weight, who may wait, and who is too late for it."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import pytest

from inference.batch_queue import BatchQueue, QueueLimits, Settled
from inference.batch_run import BatchRun
from inference.errors import DeadlineExceeded, QueueFull
from inference.requests import Key, Piece, Request
from inference.run_times import RunTimes
from tests.unit.inference.fakes import FAR, FLAT, echo_run, rows_of

MakeScene = Callable[..., "Scene"]
KEY: Key = ("FP32",)
SECOND = {size: float(size) for size in (1, 2, 4, 8)}
"""Runs that take a second for each row."""


class Scene:
    """A queue on a clock that the test sets; its runs are told, not run."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: QueueLimits,
        run_seconds: Mapping[int, float],
    ) -> None:
        self.now = 0.0
        times = RunTimes(limits.max_batch_size, run_seconds)
        self.queue = BatchQueue(limits, times, can_share=True)
        self.loop = loop
        first = self.add(1)
        run = BatchRun([{}], 1, is_splittable=True, started=0, seconds=run_seconds[1])
        self.queue.settle([Piece(first, 1, {})], run, work_seconds=run.seconds)
        self.queue.remove(first)

    def add(
        self, rows: int = 1, *, lane: str = "a", weight: int = 1, deadline: float = FAR
    ) -> Request:
        """Let a request wait."""
        request = Request(
            rows_of(*range(rows)), rows, lane, deadline, KEY, 0, self.loop.create_future(), weight
        )
        self.queue.add(request, now=self.now)
        return request

    def take(self) -> list[Piece]:
        """Take the next batch."""
        return self.queue.take(self.now).batch

    def settle(self, batch: list[Piece], *, is_splittable: bool = True) -> list[Settled]:
        """Tell of a run, which answered each piece with its own values."""
        run = echo_run(batch, started=0, seconds=1e-3)._replace(is_splittable=is_splittable)
        return self.queue.settle(batch, run, work_seconds=run.seconds)

    def lanes_of(self, runs: int) -> Counter[str]:
        """Count the rows of each lane over some runs."""
        counts: Counter[str] = Counter()
        for _ in range(runs):
            for piece in self.take():
                counts[piece.request.lane] += piece.rows
        return counts


@pytest.fixture
def make_scene() -> Iterator[MakeScene]:
    """Give a maker of queues whose runs have 8 rows."""
    loop = asyncio.new_event_loop()

    def make(run_seconds: Mapping[int, float] = FLAT, **limits: float) -> Scene:
        named: dict[str, float] = {"max_batch_size": 8, **limits}
        return Scene(loop, QueueLimits(**named), run_seconds)  # type: ignore[arg-type]

    yield make
    loop.close()


@pytest.fixture
def scene(make_scene: MakeScene) -> Scene:
    """Give a queue whose runs cost the same whatever their rows."""
    return make_scene()


def test_rows_are_shared_by_weight(scene: Scene) -> None:
    """A lane of three times the weight gets three times the rows, while both wait."""
    for _ in range(200):
        scene.add(lane="light")
        scene.add(lane="heavy", weight=3)
    assert scene.lanes_of(10) == {"light": 20, "heavy": 60}


def test_weight_gives_nothing_that_others_do_not_want(scene: Scene) -> None:
    """Whoever waits alone has everything."""
    for _ in range(16):
        scene.add(lane="light")
    scene.add(lane="heavy", weight=1000)
    assert scene.lanes_of(2)["light"] == 15


def test_lane_that_was_idle_goes_first(scene: Scene) -> None:
    """Whoever asks seldom waits for the run that is on, and for nobody's queue."""
    for _ in range(100):
        scene.add(4, lane="flood")
    scene.take()
    quiet = scene.add(4, lane="quiet")
    assert scene.take()[0].request is quiet


def test_lane_that_comes_and_goes_is_not_new_for_ever(scene: Scene) -> None:
    """A lane with one request at a time gets no more than its share."""
    for _ in range(200):
        scene.add(8, lane="steady")
    counts: Counter[str] = Counter()
    for _ in range(40):
        if not scene.queue._lanes.rows_of("restless"):
            scene.add(8, lane="restless")
        counts += scene.lanes_of(1)
    assert counts["restless"] <= 24 * 8


def test_lane_has_a_bound_of_its_own(make_scene: MakeScene) -> None:
    """One tenant's rows beyond it are refused, another's are not."""
    scene = make_scene(max_queue_rows=16, max_lane_rows=8)
    for _ in range(8):
        scene.add(lane="a")
    with pytest.raises(QueueFull):
        scene.add(lane="a")
    scene.add(lane="b")


def test_single_request_may_exceed_the_lane(make_scene: MakeScene) -> None:
    """One request of more rows than the lane's bound waits, since it could never come otherwise."""
    scene = make_scene(max_queue_rows=16, max_lane_rows=8)
    scene.add(16)


def test_share_of_a_full_queue_is_by_weight(make_scene: MakeScene) -> None:
    """A heavy lane displaces others up to its weight's share, and no further."""
    scene = make_scene(max_queue_rows=16)
    for _ in range(16):
        scene.add(lane="light")
    for _ in range(12):
        scene.add(lane="heavy", weight=3)
    with pytest.raises(QueueFull):
        scene.add(lane="heavy", weight=3)
    assert scene.queue._lanes.rows_of("light") == 4


def test_request_that_would_be_late_is_refused_on_arrival(make_scene: MakeScene) -> None:
    """Rows of its lane before it that take longer than it can wait: nothing is run for it."""
    scene = make_scene(SECOND)
    scene.add(8)
    with pytest.raises(DeadlineExceeded):
        scene.add(2, deadline=4.0)
    scene.add(2, deadline=40.0)


def test_flood_of_others_makes_nobody_late(make_scene: MakeScene) -> None:
    """What waits in other lanes counts only as far as it goes before."""
    scene = make_scene(SECOND)
    for _ in range(100):
        scene.add(lane="flood")
    scene.add(1, lane="quiet", deadline=4.0)


def test_request_that_became_late_is_not_run(make_scene: MakeScene) -> None:
    """Its turn came, but the run would end after its deadline; the others run without it."""
    scene = make_scene(SECOND)
    late = scene.add(4, deadline=10.0)
    other = scene.add(4, lane="b")
    scene.now = 9.0
    taken = scene.queue.take(scene.now)
    assert taken.late == [late]
    assert [piece.request for piece in taken.batch] == [other]


def test_run_is_shortened_for_an_urgent_caller(make_scene: MakeScene) -> None:
    """Rows that would make another one late wait for the next run, in front of their lane."""
    scene = make_scene(FLAT | {1: 3.9, 2: 3.9, 4: 4.0, 8: 6.5})
    waiting = [scene.add(2, lane="a") for _ in range(2)]
    urgent = scene.add(2, lane="b", deadline=5.0)
    assert urgent in [piece.request for piece in scene.take()]
    left = [piece.request for piece in scene.take()]
    assert left
    assert left == [request for request in waiting if request in left]


def test_run_that_is_not_full_waits_for_the_delay(make_scene: MakeScene) -> None:
    """Until the delay is over or the run is full; what waited for a run already never waits."""
    scene = make_scene(max_delay_seconds=0.005)
    scene.add(1)
    assert scene.queue.pause(scene.now) == pytest.approx(0.005)
    scene.now = 0.004
    assert scene.queue.pause(scene.now) == pytest.approx(0.001)
    scene.add(7)
    assert scene.queue.pause(scene.now) == 0


def test_nobody_is_made_late_by_the_delay(make_scene: MakeScene) -> None:
    """A deadline ends the wait for more rows in time for the run."""
    scene = make_scene(FLAT, max_delay_seconds=1.0)
    scene.add(1, deadline=0.1)
    assert 0 < scene.queue.pause(scene.now) < 0.1


def test_without_a_delay_nothing_waits(scene: Scene) -> None:
    """The default."""
    scene.add(1)
    assert scene.queue.pause(scene.now) == 0


def test_large_request_leaves_room_for_others(scene: Scene) -> None:
    """While it is run piece by piece, others share its runs."""
    scene.add(100, lane="large")
    for _ in range(20):
        scene.add(lane="small")
    assert scene.lanes_of(4) == {"large": 16, "small": 16}


def test_large_request_is_run_once_while_sizes_are_tried(make_scene: MakeScene) -> None:
    """A trial may be of more rows than the request has, between two of its pieces."""
    seconds = dict.fromkeys((1, 2, 4, 8), 0.015) | {16: 0.010, 32: 0.026, 64: 0.0475}
    scene = make_scene(seconds, max_batch_size=64)
    sizes = set()
    for _ in range(200):
        rows = 0
        large = scene.add(50, lane="large")
        while rows < 50:
            while scene.queue.rows < 200:
                scene.add(lane="small")
            batch = scene.take()
            size = sum(piece.rows for piece in batch)
            sizes.add(size)
            run = echo_run(batch, started=0, seconds=seconds.get(size, size / 1000))
            scene.queue.settle(batch, run, work_seconds=run.seconds)
            rows += sum(piece.rows for piece in batch if piece.request is large)
            assert rows <= 50
            assert scene.queue.rows == sum(request.left for request in scene.queue)
    assert sizes == {16, 64}


def test_request_that_is_begun_runs_whole_once_sharing_has_ended(scene: Scene) -> None:
    """Outputs that had no row for each row of another run say that its pieces are worth nothing."""
    large = scene.add(20, lane="large")
    scene.settle(scene.take())
    for _ in range(2):
        scene.add(4, lane="other")
    scene.settle(scene.take(), is_splittable=False)
    answers = []
    while scene.queue.rows:
        batch = scene.take()
        answers += [one.outcome for one in scene.settle(batch) if one.request is large]
        assert scene.queue.rows == sum(request.left for request in scene.queue)
    [answer] = answers
    assert isinstance(answer, dict)
    assert answer["y"] is large.tensors["x"]
