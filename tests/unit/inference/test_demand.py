"""Who asks for much more than another one, by what was asked for lately."""

import pytest

from inference.demand import Asking, Demand

WINDOW = 10.0


@pytest.fixture
def demand() -> Demand:
    """Give one that knows nobody."""
    return Demand()


def ask(demand: Demand, now: float, **rows: int) -> None:
    """Let lanes ask for rows one after the other."""
    for lane, count in rows.items():
        demand.note(lane, count, weight=1, now=now)


def test_lane_that_nobody_is_beside_is_alone(demand: Demand) -> None:
    """In its first window and ever after."""
    ask(demand, 0, a=5)
    assert demand.of("a") is Asking.ALONE
    ask(demand, WINDOW, a=5)
    assert demand.of("a") is Asking.ALONE


def test_one_takes_the_place_of_another(demand: Demand) -> None:
    """The one that left was company in the last window."""
    ask(demand, 0, a=5)
    ask(demand, WINDOW, b=5)
    assert demand.of("b") is Asking.UNKNOWN


def test_nothing_is_known_in_the_first_window(demand: Demand) -> None:
    """Whoever asked for little until now may only have begun."""
    ask(demand, 0, a=500, b=1)
    assert demand.of("a") is Asking.UNKNOWN


def test_lanes_that_ask_alike(demand: Demand) -> None:
    """Three times as much is still alike; a lane that was not seen before asks for little yet."""
    ask(demand, 0, a=30, b=10)
    ask(demand, WINDOW, new=1)
    assert [demand.of(lane) for lane in ("a", "b", "new")] == [Asking.ALIKE] * 3


def test_lane_that_asks_for_more(demand: Demand) -> None:
    """In the last window, or already in the one that goes on."""
    ask(demand, 0, a=31, b=10, c=10)
    ask(demand, WINDOW, b=20)
    assert [demand.of(lane) for lane in "abc"] == [Asking.MORE, Asking.ALIKE, Asking.ALIKE]
    ask(demand, WINDOW + 1, b=11)
    assert demand.of("b") is Asking.MORE


def test_weight_is_a_right_to_more(demand: Demand) -> None:
    """A lane of weight 4 may ask for four times as much."""
    demand.note("paid", 40, weight=4, now=0)
    demand.note("free", 10, weight=1, now=0)
    ask(demand, WINDOW, free=1)
    assert demand.of("paid") is Asking.ALIKE


def test_what_was_asked_long_ago_is_forgotten(demand: Demand) -> None:
    """After a window in which nobody asked, everything begins anew."""
    ask(demand, 0, a=500, b=1)
    ask(demand, 2 * WINDOW, a=500, b=1)
    assert demand.of("a") is Asking.UNKNOWN


def test_memory_is_that_of_two_windows(demand: Demand) -> None:
    """Tenants that came once are not kept."""
    for second in range(1000):
        ask(demand, second, **{f"lane {second}": 1})
    assert len(demand._before) + len(demand._now) <= 2 * WINDOW
