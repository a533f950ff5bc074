"""The laws of the two tracks: no lane is on both, and whoever waits has a run in the end."""

import asyncio
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from inference.batch_queue import BatchQueue, QueueLimits
from inference.requests import Key, Piece, Request
from inference.run_times import RunTimes
from inference.tracks import Track
from tests.unit.inference.fakes import FAR, FLAT, echo_run, rows_of

KEY: Key = ("FP32",)
CAPACITY = 8

quick_rows = st.sampled_from([0, CAPACITY // 2, 4 * CAPACITY])

steps = st.one_of(
    st.tuples(
        st.just("add"),
        st.sampled_from("abcd"),
        st.integers(min_value=1, max_value=20),
        st.integers(min_value=1, max_value=3),
    ),
    st.tuples(st.just("take"), st.sampled_from(Track)),
    st.tuples(st.just("over"), st.sampled_from(Track)),
    st.tuples(st.just("wait"), st.floats(min_value=0, max_value=100)),
)


@dataclass
class Scene:
    """A queue with two tracks, whose runs are told, not run."""

    loop: asyncio.AbstractEventLoop
    quick_rows: int = 0
    now: float = 0.0
    running: dict[Track, list[Piece]] = field(
        default_factory=lambda: {track: [] for track in Track}
    )
    queue: BatchQueue = field(init=False)

    def __post_init__(self) -> None:
        """Make the queue."""
        limits = QueueLimits(max_batch_size=CAPACITY, quick_rows=self.quick_rows)
        times = RunTimes(CAPACITY, FLAT)
        self.queue = BatchQueue(limits, times, can_share=True, is_divided=True)

    def step(self, step: tuple[object, ...]) -> None:
        """Take a step that is possible now."""
        match step:
            case ("add", str(lane), int(rows), int(weight)):
                answer = self.loop.create_future()
                tensors = rows_of(*range(rows))
                request = Request(tensors, rows, lane, FAR, KEY, 0, answer, weight)
                self.queue.add(request, now=self.now)
            case ("take", Track() as track):
                self.take(track)
            case ("over", Track() as track):
                self.over(track)
            case ("wait", float(seconds)):
                self.now += seconds

    def take(self, track: Track) -> None:
        """Begin a run where none is on."""
        if not self.running[track]:
            self.running[track] = self.queue.take(self.now, track).batch

    def over(self, track: Track) -> None:
        """End a run, if one is on."""
        batch = self.running[track]
        if batch:
            run = echo_run(batch, started=0, seconds=0.001)
            self.queue.settle(batch, run, work_seconds=0.001, track=track)
            self.running[track] = []

    def lanes_on(self, track: Track) -> set[str]:
        """List the lanes in a run."""
        return {piece.request.lane for piece in self.running[track]}


@settings(max_examples=200, deadline=None)
@given(st.lists(steps, max_size=60), quick_rows)
def test_no_lane_is_on_both_tracks(script: list[tuple[object, ...]], quick: int) -> None:
    """Whatever comes and goes in whatever order, a tenant has one run at a time."""
    loop = asyncio.new_event_loop()
    scene = Scene(loop, quick)
    for step in script:
        scene.step(step)
        assert not scene.lanes_on(Track.FRONT) & scene.lanes_on(Track.BACK)
    loop.close()


@settings(max_examples=200, deadline=None)
@given(st.lists(steps, max_size=60), quick_rows)
def test_whoever_waits_is_due_on_a_track(script: list[tuple[object, ...]], quick: int) -> None:
    """With nothing under way, the tracks take something of whatever waits."""
    loop = asyncio.new_event_loop()
    scene = Scene(loop, quick)
    for step in script:
        scene.step(step)
    for track in Track:
        scene.over(track)
    while scene.queue.rows:
        assert any(scene.queue.is_due(track, scene.now) for track in Track)
        for track in (Track.FRONT, Track.BACK, Track.FRONT):
            scene.take(track)
        assert any(scene.running.values())
        for track in Track:
            scene.over(track)
    loop.close()
