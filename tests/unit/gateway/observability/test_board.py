"""What processes count in shared memory outlives them and is never counted twice."""

import os
import subprocess
import sys

import pytest

from gateway.observability.board import SLOT_BYTES, SLOTS, Board, BoardFull
from gateway.observability.exposition import exposition
from gateway.observability.meter import Kind, Meter, Metric
from tests.serving import ROOT

CALLS = Metric("calls", Kind.COUNTER, "Calls.", ("route",))
SECONDS = Metric("seconds", Kind.HISTOGRAM, "Time.", (), (0.5, 1.0))
QUEUE = Metric("queue", Kind.SUM, "Waiting.")
LAG = Metric("lag", Kind.MAX, "Behind.")
WRITABLE = Metric("writable", Kind.MIN, "Well.")
CATALOGUE = (CALLS, SECONDS, QUEUE, LAG, WRITABLE)

WORKER = """
import os, signal, sys
from gateway.observability.board import Board
from gateway.observability.meter import Meter
from tests.unit.gateway.observability.test_board import CALLS, CATALOGUE, QUEUE

meter = Meter(Board(int(sys.argv[1])).claim(), CATALOGUE)
meter.counter(CALLS, "a").add(5)
meter.gauge(QUEUE).set(7)
print("counted", flush=True)
sys.stdin.read()
os.kill(os.getpid(), signal.SIGKILL)
"""


def told(board: Board) -> dict[str, float]:
    """Read the board as a scraper does."""
    text, _ = exposition(board, CATALOGUE, accept="")
    lines = (line for line in text.decode().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def meter_in(board: Board, number: int) -> Meter:
    """Count as a process that has a slot."""
    slot = board.slot(number)
    slot.take()
    return Meter(slot, CATALOGUE)


def started(board: Board) -> subprocess.Popen[bytes]:
    """Start a worker and wait until it has counted."""
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(board.fileno())],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=(board.fileno(),),
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"counted\n"
    return worker


def killed(worker: subprocess.Popen[bytes]) -> None:
    """Let a worker end as by `kill -9`."""
    worker.communicate()


def test_counts_of_several_processes_are_added_up() -> None:
    """A scraper sees one server."""
    board = Board.create()
    for number in (0, 3):
        meter = meter_in(board, number)
        meter.counter(CALLS, "a").add()
        meter.counter(CALLS, f"only {number}").add(2)
        for value in (0.1, 0.5, 0.7, 9.0):
            meter.histogram(SECONDS).observe(value)
    told_now = told(board)
    assert told_now['calls_total{route="a"}'] == 2
    assert told_now['calls_total{route="only 3"}'] == 2
    assert told_now['seconds_bucket{le="0.5"}'] == 4
    assert told_now['seconds_bucket{le="1.0"}'] == 6
    assert told_now['seconds_bucket{le="+Inf"}'] == told_now["seconds_count"] == 8
    assert told_now["seconds_sum"] == pytest.approx(20.6)


@pytest.mark.parametrize(("metric", "merged"), [(QUEUE, 5), (LAG, 3), (WRITABLE, 2)])
def test_gauges_are_merged_as_declared(metric: Metric, merged: int) -> None:
    """Rows that wait add up, the worst lag is the lag, and one that is unwell is told."""
    board = Board.create()
    for number, value in enumerate((2, 3)):
        meter_in(board, number).gauge(metric).set(value)
    assert told(board)[metric.name] == merged


def test_counter_goes_on_where_a_killed_process_left_it() -> None:
    """What was counted before the kill stays, to the last one, and the next one adds to it."""
    board = Board.create()
    worker = started(board)
    assert told(board) == {'calls_total{route="a"}': 5, "queue": 7}
    killed(worker)
    assert told(board) == {'calls_total{route="a"}': 5}
    successor = started(board)
    assert told(board) == {'calls_total{route="a"}': 10, "queue": 7}
    killed(successor)
    assert [slot.is_used for slot in board.slots()] == [True]


def test_living_processes_never_share_a_slot() -> None:
    """Each would lose what the other counts."""
    board = Board.create()
    workers = [started(board) for _ in range(3)]
    assert told(board) == {'calls_total{route="a"}': 15, "queue": 21}
    for worker in workers:
        killed(worker)


def test_gauge_of_an_earlier_process_is_forgotten() -> None:
    """A worker that just started says nothing before it knows."""
    board = Board.create()
    meter_in(board, 0).gauge(QUEUE).set(7)
    meter_in(board, 0)
    assert told(board) == {}


def test_process_that_left_has_no_state() -> None:
    """Its counts stay, and its queue is gone."""
    board = Board.create()
    meter = meter_in(board, 0)
    meter.counter(CALLS, "a").add()
    meter.gauge(QUEUE).set(7)
    board.slot(0).leave()
    assert told(board) == {'calls_total{route="a"}': 1}


def test_series_of_another_version_are_passed_over() -> None:
    """After an update the supervisor may know other metrics than its workers."""
    board = Board.create()
    slot = board.slot(0)
    slot.take()
    newer = Metric("seconds", Kind.HISTOGRAM, "Time.", (), (0.1, 0.2, 0.3))
    meter = Meter(slot, (newer,))
    meter.histogram(newer).observe(0.1)
    meter.counter(Metric("new", Kind.COUNTER, "New."), *()).add()
    assert told(board) == {}
    meter_in(board, 0).histogram(SECONDS).observe(0.1)
    assert told(board)["seconds_count"] == 1


def test_full_slot_loses_a_series_and_nothing_else() -> None:
    """Whoever counts never fails for it."""
    board = Board.create()
    slot = board.slot(0)
    slot.take()
    meter = Meter(slot, CATALOGUE)
    with pytest.raises(BoardFull):
        slot.add(("big",), SLOT_BYTES // 8)
    slot.add(("big",), SLOT_BYTES // 8 - 16)
    meter.histogram(SECONDS).observe(1.0)
    meter.counter(CALLS, "a").add()
    assert told(board) == {'calls_total{route="a"}': 1}


def test_wrong_labels_are_a_mistake_of_ours() -> None:
    """A series without its label would be another metric."""
    with pytest.raises(ValueError, match="calls"):
        meter_in(Board.create(), 0).counter(CALLS)


def test_board_takes_memory_only_for_what_is_counted() -> None:
    """The slots are address space."""
    board = Board.create()
    meter_in(board, SLOTS - 1).counter(CALLS, "a").add()
    assert os.fstat(board.fileno()).st_blocks * 512 < SLOT_BYTES
