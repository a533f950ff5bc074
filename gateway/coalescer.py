"""The one idea: everyone who waits shares the next trip.

While one dispatch runs, arrivals queue; the next dispatch takes all of them, up to a limit. Nobody
waits on a timer, a lone caller is served at once, and under load the cost of a trip (an fsync, a
Redis call) is divided among the callers.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class CoalescerFull(Exception):
    """As many items wait as the bound allows."""


class Coalescer(Generic[Item, Result]):
    """Hand items that arrive during one dispatch to the next dispatch together.

    Concurrency: one event loop, no task per item, at most one dispatch at a time. An item whose
    waiter was cancelled before its dispatch is dropped; after that it is part of the trip. A trip
    that fails fails its own items and no others.
    """

    def __init__(
        self,
        dispatch: Callable[[list[Item]], "asyncio.Future[Sequence[Result]]"],
        *,
        max_batch: int,
        max_waiting: int,
    ) -> None:
        """Build an idle coalescer.

        Args:
            dispatch: start a trip and return the future of one result per item, in order; it may
                fail the future but not raise.
            max_batch: items that share a trip at most.
            max_waiting: items that may wait for the next trips.
        """
        self._dispatch = dispatch
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._travelling: list[tuple[Item, asyncio.Future[Result]]] = []
        self._is_busy = False
        self._drainers: list[asyncio.Future[None]] = []

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is under way."""
        return not self._is_busy

    def pending(self) -> Iterator[Item]:
        """Iterate over what waits or is under way."""
        yield from (item for item, _ in self._travelling)
        yield from (item for item, _ in self._waiting)

    def is_under_way(self, item: Item) -> bool:
        """Say whether an item is part of the trip that is on."""
        return any(other is item for other, _ in self._travelling)

    def submit(self, item: Item) -> "asyncio.Future[Result]":
        """Queue an item for the next dispatch and return the future of its result.

        Raises:
            CoalescerFull: `max_waiting` items wait already.
        """
        if len(self._waiting) >= self._max_waiting:
            self._forget_cancelled()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((item, future))
        if not self._is_busy:
            self._is_busy = True
            loop.call_soon(self._flush)
        return future

    async def drain(self) -> None:
        """Wait until nothing waits and nothing is under way."""
        while self._is_busy:
            drainer = asyncio.get_running_loop().create_future()
            self._drainers.append(drainer)
            await drainer

    def _forget_cancelled(self) -> None:
        self._waiting = [entry for entry in self._waiting if not entry[1].done()]
        if len(self._waiting) >= self._max_waiting:
            raise CoalescerFull

    def _flush(self) -> None:
        """Dispatch what waits; every path ends in another flush, a landing or idleness."""
        batch = [entry for entry in self._waiting[: self._max_batch] if not entry[1].done()]
        del self._waiting[: self._max_batch]
        if not batch:
            self._rest()
            return
        self._travelling = batch
        trip = None
        try:
            trip = self._dispatch([item for item, _ in batch])
        finally:
            if trip is None:
                self._travelling = []
                _fail(batch, RuntimeError("the dispatch raised; its error is in the log"))
                self._rest()
        trip.add_done_callback(self._land)

    def _rest(self) -> None:
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
            return
        self._is_busy = False
        drainers, self._drainers = self._drainers, []
        for drainer in drainers:
            if not drainer.done():
                drainer.set_result(None)

    def _land(self, trip: "asyncio.Future[Sequence[Result]]") -> None:
        """Start the next trip first, so that it runs while this one's waiters go on."""
        batch, self._travelling = self._travelling, []
        if self._waiting:
            self._flush()
        else:
            self._rest()
        if trip.cancelled():
            for _, future in batch:
                future.cancel()
            return
        error = trip.exception()
        if error is not None:
            _fail(batch, error)
            return
        _answer(batch, trip.result())


def _fail(batch: list[tuple[Item, "asyncio.Future[Result]"]], error: BaseException) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)


def _answer(batch: list[tuple[Item, "asyncio.Future[Result]"]], results: Sequence[Result]) -> None:
    if len(results) != len(batch):
        _fail(batch, RuntimeError(f"{len(results)} results for {len(batch)} items"))
        return
    for (_, future), result in zip(batch, results, strict=True):
        if not future.done():
            future.set_result(result)
