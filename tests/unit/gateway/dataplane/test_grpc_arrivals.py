"""Calls that come about the same time go on together, and one alone goes on at once."""

import asyncio

from gateway.dataplane.grpc_arrivals import Arrivals


def test_call_that_is_alone_goes_on_in_the_same_turn() -> None:
    """A lone caller pays nothing."""

    async def scenario() -> None:
        arrivals = Arrivals()
        arrivals.begin()
        coroutine = arrivals.gather(10)
        try:
            coroutine.send(None)
        except StopIteration:
            return
        raise AssertionError("it waited")

    asyncio.run(scenario())


def test_calls_that_come_in_other_turns_go_on_in_one() -> None:
    """What they share is then shared by all of them."""

    async def scenario() -> list[str]:
        arrivals = Arrivals()
        seen: list[str] = []

        async def call(name: str, turns: int) -> None:
            arrivals.begin()
            for _ in range(turns):
                await asyncio.sleep(0)
            seen.append(f"{name} came")
            await arrivals.gather(10)
            seen.append(f"{name} went")
            arrivals.end()

        await asyncio.gather(call("a", 1), call("b", 5), call("c", 9))
        return seen

    assert asyncio.run(scenario()) == ["a came", "b came", "c came", "a went", "b went", "c went"]
