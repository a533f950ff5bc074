"""Calls that come about the same time go on together, and one alone goes on at once."""

import asyncio

import pytest

from gateway.dataplane.grpc_arrivals import Arrivals
from tests.unit.inference.fakes import FakeClock

SIZE = 10
MANY = 200
"""Calls, one in each turn: more than go on together."""


async def turns_of_the_loop(number: int) -> None:
    """Let the loop go round."""
    for _ in range(number):
        await asyncio.sleep(0)


async def come(
    arrivals: Arrivals, seen: list[str], name: str, *, after_turns: int, size: int = SIZE
) -> None:
    """Begin at once, and have the message some turns later."""
    arrivals.begin()
    await turns_of_the_loop(after_turns)
    seen.append(f"{name} came")
    await arrivals.gather(size)
    seen.append(f"{name} went")
    arrivals.end()


async def test_call_that_is_alone_goes_on_in_the_same_turn() -> None:
    """A lone caller pays nothing."""
    arrivals = Arrivals()
    arrivals.begin()
    with pytest.raises(StopIteration):
        arrivals.gather(SIZE).send(None)


async def test_calls_that_come_in_other_turns_go_on_in_one() -> None:
    """What they share is then shared by all of them."""
    arrivals = Arrivals()
    seen: list[str] = []
    turns = {"a": 1, "b": 5, "c": 9}
    await asyncio.gather(*(come(arrivals, seen, n, after_turns=t) for n, t in turns.items()))
    assert seen == ["a came", "b came", "c came", "a went", "b went", "c went"]


@pytest.fixture
def busy(clock: FakeClock) -> Arrivals:
    """Make it with one call under way whose message never comes."""
    arrivals = Arrivals(clock)
    arrivals.begin()
    return arrivals


@pytest.fixture
def clock() -> FakeClock:
    """Make a clock that stands still."""
    return FakeClock()


@pytest.mark.parametrize(("size", "most"), [(SIZE, 64), (500_000, 3)])
async def test_no_more_are_waited_for_than_go_together_well(
    busy: Arrivals, size: int, most: int
) -> None:
    """So many calls, or so many bytes."""
    seen: list[str] = []
    calls = (come(busy, seen, "x", after_turns=turns, size=size) for turns in range(MANY))
    await asyncio.gather(*calls)
    assert most <= seen.index("x went") <= most + 1
    assert seen.count("x went") == MANY


async def test_nobody_waits_longer_than_a_moment(busy: Arrivals, clock: FakeClock) -> None:
    """However long the turns of the loop are."""
    seen: list[str] = []
    call = asyncio.create_task(come(busy, seen, "a", after_turns=0))
    await turns_of_the_loop(2)
    assert seen == ["a came"]
    clock.now += 1.0
    await turns_of_the_loop(2)
    assert seen == ["a came", "a went"]
    await call


async def test_call_that_is_left_while_it_waits_holds_up_nobody(busy: Arrivals) -> None:
    """Nor does it go on."""
    seen: list[str] = []
    left = asyncio.create_task(come(busy, seen, "a", after_turns=0))
    other = asyncio.create_task(come(busy, seen, "b", after_turns=0))
    await turns_of_the_loop(1)
    left.cancel()
    await other
    assert seen == ["a came", "b came", "b went"]
    assert left.cancelled()
