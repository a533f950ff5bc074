"""The coalescer: everyone who waits shares the next trip, and nobody pays for another."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.coalescer import Coalescer, CoalescerFull


class Trips:
    """A dispatch whose trips end when the test says so."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.futures: list[asyncio.Future[Sequence[int]]] = []

    def __call__(self, batch: list[int]) -> "asyncio.Future[Sequence[int]]":
        """Start a trip."""
        self.batches.append(batch)
        self.futures.append(asyncio.get_running_loop().create_future())
        return self.futures[-1]

    def land(self, trip: int = -1) -> None:
        """End a trip: every item's result is ten times the item."""
        self.futures[trip].set_result([10 * item for item in self.batches[trip]])

    def end(self, *, has_failed: bool) -> None:
        """End the trip that is under way, if there is one."""
        if not self.futures or self.futures[-1].done():
            return
        if has_failed:
            self.futures[-1].set_exception(OSError("disk"))
        else:
            self.land()


async def settle() -> None:
    """Let everything run that is ready."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def trips() -> Trips:
    """Return a dispatch under the test's control."""
    return Trips()


@pytest.fixture
def coalescer(trips: Trips) -> Coalescer[int, int]:
    """Return a coalescer of small bounds."""
    return Coalescer(trips, max_batch=3, max_waiting=4)


async def test_lone_item_travels_at_once(coalescer: Coalescer[int, int], trips: Trips) -> None:
    """Nobody waits on a timer."""
    answer = coalescer.submit(1)
    await settle()
    trips.land()
    assert (await answer, trips.batches) == (10, [[1]])


async def test_arrivals_of_one_tick_share_a_trip(
    coalescer: Coalescer[int, int], trips: Trips
) -> None:
    """The flush is scheduled, not called, so the whole tick is taken."""
    answers = [coalescer.submit(item) for item in (1, 2, 3)]
    await settle()
    trips.land()
    assert (await asyncio.gather(*answers), trips.batches) == ([10, 20, 30], [[1, 2, 3]])


async def test_arrivals_during_a_trip_share_the_next(
    coalescer: Coalescer[int, int], trips: Trips
) -> None:
    """One trip at a time; the next takes everybody up to the bound."""
    answers = [coalescer.submit(0)]
    await settle()
    answers += [coalescer.submit(item) for item in (1, 2, 3, 4)]
    for _ in range(3):
        await settle()
        trips.land()
    assert await asyncio.gather(*answers) == [0, 10, 20, 30, 40]
    assert trips.batches == [[0], [1, 2, 3], [4]]


async def test_failed_trip_fails_its_own_items_only(
    coalescer: Coalescer[int, int], trips: Trips
) -> None:
    """The next trip is not harmed."""
    first = coalescer.submit(1)
    await settle()
    second = coalescer.submit(2)
    trips.futures[0].set_exception(OSError("disk"))
    await settle()
    trips.land()
    assert isinstance(first.exception(), OSError)
    assert await second == 20


async def test_cancelled_waiter_is_not_dispatched(
    coalescer: Coalescer[int, int], trips: Trips
) -> None:
    """What nobody waits for any more costs nothing."""
    gone, kept = coalescer.submit(1), coalescer.submit(2)
    gone.cancel()
    await settle()
    trips.land()
    assert (await kept, trips.batches) == (20, [[2]])


async def test_cancelled_waiter_on_a_trip_does_not_harm_its_neighbours(
    coalescer: Coalescer[int, int], trips: Trips
) -> None:
    """After dispatch a cancelled item is still part of the trip."""
    gone, kept = coalescer.submit(1), coalescer.submit(2)
    await settle()
    gone.cancel()
    trips.land()
    assert (await kept, trips.batches) == (20, [[1, 2]])


async def test_only_cancelled_waiters_leave_the_coalescer_idle(
    coalescer: Coalescer[int, int], trips: Trips
) -> None:
    """An empty flush ends in idleness, not in a trip."""
    coalescer.submit(1).cancel()
    await coalescer.drain()
    assert (coalescer.is_idle, trips.batches) == (True, [])


async def test_full_coalescer_refuses(coalescer: Coalescer[int, int]) -> None:
    """The bound holds the memory flat under overload."""
    for item in range(4):
        coalescer.submit(item)
    with pytest.raises(CoalescerFull):
        coalescer.submit(4)


async def test_cancelled_waiters_free_their_places(coalescer: Coalescer[int, int]) -> None:
    """Clients that went away do not make the coalescer full."""
    waiting = [coalescer.submit(item) for item in range(4)]
    waiting[0].cancel()
    assert not coalescer.submit(4).done()


async def test_cancelled_trip_cancels_its_waiters(
    coalescer: Coalescer[int, int], trips: Trips
) -> None:
    """Nobody is left waiting for a trip that will not come back."""
    answer = coalescer.submit(1)
    await settle()
    trips.futures[0].cancel()
    await settle()
    assert answer.cancelled()


async def test_wrong_number_of_results_is_an_error(
    coalescer: Coalescer[int, int], trips: Trips
) -> None:
    """A result is never given to the wrong waiter."""
    answer = coalescer.submit(1)
    await settle()
    trips.futures[0].set_result([1, 2])
    with pytest.raises(RuntimeError, match="2 results for 1 items"):
        await answer


async def test_drain_waits_for_the_last_trip(coalescer: Coalescer[int, int], trips: Trips) -> None:
    """Drain returns when nothing waits and nothing is under way."""
    coalescer.submit(1)
    drained = asyncio.ensure_future(coalescer.drain())
    await settle()
    assert not drained.done()
    trips.land()
    await drained
    assert coalescer.is_idle


async def test_pending_lists_what_waits_and_what_travels(
    coalescer: Coalescer[int, int],
) -> None:
    """The journal's watermark depends on seeing both."""
    coalescer.submit(1)
    await settle()
    coalescer.submit(2)
    assert list(coalescer.pending()) == [1, 2]


@given(steps=st.lists(st.sampled_from(["submit", "cancel", "land", "fail", "tick"]), max_size=40))
async def test_every_waiter_is_answered_once_with_its_own_result(steps: list[str]) -> None:
    """Any interleaving of arrivals, cancellations, landings and failures answers everybody."""
    trips = Trips()
    coalescer = Coalescer[int, int](trips, max_batch=3, max_waiting=100)
    waiters: list[asyncio.Future[int]] = []
    for step in steps:
        if step == "submit":
            waiters.append(coalescer.submit(len(waiters)))
        elif step == "cancel" and waiters:
            waiters[len(waiters) // 2].cancel()
        elif step == "tick":
            await settle()
        else:
            trips.end(has_failed=step == "fail")
    while not coalescer.is_idle:
        await settle()
        trips.end(has_failed=False)
    await settle()
    for item, waiter in enumerate(waiters):
        assert waiter.done()
        assert waiter.cancelled() or waiter.exception() or waiter.result() == 10 * item
    travelled = [item for batch in trips.batches for item in batch]
    assert len(travelled) == len(set(travelled))
