"""Workers see how many connections the others have."""

from gateway.supervisor.occupancy import Occupancy, Place


def test_excess_is_over_the_one_with_the_fewest() -> None:
    """Those who have no place count for nothing."""
    occupancy = Occupancy.create()
    first, second, third = (Place(occupancy, occupancy.claim()) for _ in range(3))
    assert first.excess(7) == 0
    assert second.excess(2) == 0
    assert third.excess(9) == 7
    assert first.excess(7) == 5


def test_one_that_takes_no_more_is_not_compared_with() -> None:
    """Whether it said so or died."""
    occupancy = Occupancy.create()
    places = [occupancy.claim() for _ in range(3)]
    ending, dead, working = (Place(occupancy, place) for place in places)
    ending.excess(0)
    dead.excess(1)
    ending.leave()
    assert working.excess(5) == 4
    occupancy.release(places[1])
    assert working.excess(5) == 0


def test_place_is_given_out_once_at_a_time() -> None:
    """Two workers that share one would hide each other."""
    occupancy = Occupancy.create()
    first, second = occupancy.claim(), occupancy.claim()
    assert first != second
    occupancy.release(first)
    assert occupancy.claim() == first


def test_another_process_sees_the_same() -> None:
    """The memory is a file that a worker inherits."""
    occupancy = Occupancy.create()
    Place(occupancy, 0).excess(3)
    assert Place(Occupancy(occupancy.descriptor), 1).excess(5) == 2
